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

/**
 * Sort by several keys.
 * @param {Object[]} trades with `number` @param {Array<{field: string, isDown: boolean}>} keys
 */
export function sortTrades(trades, keys) {
  return [...trades].sort((one, other) => {
    for (const { field, isDown } of keys) {
      const [a, b] = [one[field], other[field]];
      if (a === b) continue;
      if (a === null || b === null) return a === null ? 1 : -1;
      return (a < b ? -1 : 1) * (isDown ? -1 : 1);
    }
    return one.number - other.number;
  });
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
