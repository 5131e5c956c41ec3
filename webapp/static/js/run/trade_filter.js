/** Sorting and filtering of trades: a small expression such as "return<0 reason=stop_loss". */

const FIELDS = {
  return: "return", pnl: "pnl", bars: "bars_held", shares: "shares", costs: "commission", mae: "mae", mfe: "mfe",
  entry: "entry_time", exit: "exit_time", reason: "exit_reason", direction: "direction", price: "entry_price",
};
const CONDITION = /^([a-z_]+)(<=|>=|!=|=|<|>)(.+)$/i;
const TESTS = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
  "=": (a, b) => a === b || String(a).startsWith(String(b)), "!=": (a, b) => !String(a).startsWith(String(b)),
};

/**
 * Read a filter; percent signs divide by 100.
 * @param {string} text
 * @returns {{test: (trade: Object) => boolean, error: string}}
 */
export function parseTradeFilter(text) {
  const tests = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const match = CONDITION.exec(word);
    if (!match) {
      tests.push((trade) => trade.exit_reason.includes(word) || trade.entry_time.startsWith(word) || trade.direction === word);
      continue;
    }
    const [, name, operator, raw] = match;
    const field = FIELDS[name.toLowerCase()];
    if (!field) return { test: () => true, error: `no column ${name}; there is ${Object.keys(FIELDS).join(", ")}` };
    const number = raw.endsWith("%") ? Number(raw.slice(0, -1)) / 100 : Number(raw);
    tests.push((trade) => {
      const value = trade[field];
      if (typeof value === "number") return TESTS[operator](value, number);
      return value !== null && TESTS[operator](value, raw);
    });
  }
  return { test: (trade) => tests.every((each) => each(trade)), error: "" };
}

/** Sets of trades behind the buttons; a trade that breaks even neither won nor lost. */
export const SHOWN = {
  all: () => true,
  win: (trade) => trade.exit_reason !== "open" && trade.pnl > 0,
  loss: (trade) => trade.exit_reason !== "open" && trade.pnl < 0,
  even: (trade) => trade.exit_reason !== "open" && trade.pnl === 0,
  open: (trade) => trade.exit_reason === "open",
};

// Times in their order without comparing text.
const STANDS_FOR = { entry_time: "entry_idx", exit_time: "exit_idx" };

/**
 * Sort by several keys; where nothing is known stays last.
 * @param {Object[]} trades with `number`, in that order @param {Array<{field: string, isDown: boolean}>} keys
 */
export function sortTrades(trades, keys) {
  if (!keys.length) return trades;
  const columns = keys.map(({ field, isDown }) => rankTrades(trades, STANDS_FOR[field] || field, isDown));
  // Numbers side by side: tens of thousands of objects, compared by name, hold the page up.
  return Uint32Array.from(trades.keys()).sort((one, other) => {
    for (const ranks of columns) {
      if (ranks[one] !== ranks[other]) return ranks[one] - ranks[other];
    }
    return one - other;
  }).reduce((sorted, idx) => { sorted.push(trades[idx]); return sorted; }, []);
}

function rankTrades(trades, field, isDown) {
  const sign = isDown ? -1 : 1;
  const isText = trades.some((trade) => typeof trade[field] === "string");
  const words = isText ? [...new Set(trades.map((trade) => trade[field]))].sort() : [];
  const places = new Map(words.map((word, idx) => [word, idx]));
  return Float64Array.from(trades, ({ [field]: value }) => (
    value === null || value === undefined ? Number.MAX_VALUE : sign * (isText ? places.get(value) : value)));
}

/**
 * Read "return:down,bars_held" from the address.
 * @param {string|undefined} text
 */
export function parseSort(text) {
  return (text || "").split(",").filter(Boolean).map((word) => {
    const [field, way] = word.split(":");
    return { field, isDown: way === "down" };
  });
}

/** @param {Array<{field: string, isDown: boolean}>} keys */
export function writeSort(keys) {
  return keys.map(({ field, isDown }) => (isDown ? `${field}:down` : field)).join(",");
}
