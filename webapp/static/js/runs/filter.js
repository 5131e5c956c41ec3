/** The search expression of the runs page: conditions on figures, words in the texts. */

const ALIASES = {
  return: "total_return", trades: "n_trades", dd: "max_drawdown", drawdown: "max_drawdown", wins: "win_rate",
    expo: "exposure",
};
const CONDITION = /^([a-z_]+)(<=|>=|!=|=|<|>)(.+)$/i;
const COMPARE = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
};

/**
 * Read an expression.
 * @param {string} text
 * @returns {(run: Object) => boolean}
 */
export function parseRunFilter(text) {
  const tests = text.trim().split(/\s+/).filter(Boolean).map((word) => {
    const match = CONDITION.exec(word);
    return match ? condition(match) : (run) => haystack(run).includes(word.toLowerCase());
  });
  return (run) => tests.every((test) => test(run));
}

function condition([, rawName, operator, raw]) {
  const name = ALIASES[rawName.toLowerCase()] || rawName.toLowerCase();
  const number = raw.endsWith("%") ? Number(raw.slice(0, -1)) / 100 : Number(raw);
  return (run) => {
    const value = readValue(run, name);
    if (value === null || value === undefined) return false;
    return typeof value === "number" ? COMPARE[operator](value, number) : COMPARE[operator](String(value).toLowerCase(),
      raw.toLowerCase());
  };
}

function readValue(run, name) {
  if (name in run && name !== "metrics") return Array.isArray(run[name]) ? run[name].join(",") : run[name];
  return run.metrics?.[name] ?? run.spec.params[name] ?? run.spec.trading[name];
}

function haystack(run) {
  return [run.run_id, run.symbol, run.rule, run.state, run.note, ...run.tags].join(" ").toLowerCase();
}

/**
 * Sort runs by one column; undefined values last.
 * @param {Object[]} runs @param {{read: (run: Object) => any}} column @param {boolean} isDown
 */
export function sortRuns(runs, column, isDown) {
  return [...runs].sort((one, other) => {
    const [a, b] = [column.read(one), column.read(other)];
    const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
    if (noA || noB) return noA - noB;
    return (a < b ? -1 : a > b ? 1 : 0) * (isDown ? -1 : 1);
  });
}
