/** Every metric of the page: label, format, definition, and the group it is shown in. */

import {
  formatCount, formatNumber, formatPercent, formatSignedMoney, formatSignedPercent, signClass,
} from "./format.js";

const FORMATS = {
  percent: (value) => formatPercent(value),
  signed: (value) => formatSignedPercent(value),
  ratio: (value) => formatNumber(value, 2),
  probability: (value) => formatNumber(value, 3),
  bars: (value) => formatNumber(value, 1),
  count: (value) => formatCount(value),
  money: (value) => formatSignedMoney(value, 2),
  flag: (value) => (value ? "yes" : "no"),
};

// name: [label, format, definition]; "signed" and "money" are coloured as gain or loss
const TABLE = {
  total_return: ["total return", "signed", "Last equity over initial cash, minus 1."],
  cagr: ["CAGR", "signed", "Growth per year that gives the total return: (E_n / E_0)^(bars per year / n) − 1."],
  volatility: ["volatility", "percent",
    "Standard deviation of the returns per bar, times the root of the bars per year."],
  best_day: ["best day", "signed", "Highest return of a calendar day."],
  worst_day: ["worst day", "signed", "Lowest return of a calendar day."],
  best_month: ["best month", "signed", "Highest return of a calendar month, partial ones included."],
  worst_month: ["worst month", "signed", "Lowest return of a calendar month, partial ones included."],
  sharpe: ["Sharpe", "ratio", "Mean return above the risk-free rate over its standard deviation, per year."],
  sortino: ["Sortino", "ratio", "Mean return above the minimum acceptable one over the downside deviation, per year."],
  calmar: ["Calmar", "ratio", "CAGR over the size of the max drawdown."],
  omega: ["Omega", "ratio", "Sum of the gains per bar over the sum of the losses per bar."],
  max_drawdown: ["max drawdown", "signed", "Deepest fall from a peak of equity, initial cash included."],
  max_drawdown_bars: ["longest drawdown", "count",
    "Most bars from a peak to its recovery; an open one counts to the end."],
  max_drawdown_days: ["longest, days", "count", "The same in calendar days."],
  ulcer_index: ["ulcer index", "percent", "Root of the mean squared drawdown: depth and length in one figure."],
  var_95: ["VaR 95", "signed", "Return per bar that 95 % of the bars exceed."],
  cvar_95: ["CVaR 95", "signed", "Mean of the worst 5 % of the returns per bar."],
  skew: ["skew", "ratio", "Third moment of the returns: negative means that the large moves are losses."],
  kurtosis: ["kurtosis", "ratio", "Fourth moment of the returns; a normal distribution has 3."],
  tail_ratio: ["tail ratio", "ratio", "Size of the 95 % percentile over that of the 5 % percentile."],
  recovery_factor: ["recovery factor", "ratio", "Total return over the size of the max drawdown."],
  psr: ["PSR(0)", "probability", "Probability that the true Sharpe ratio is above 0, given length, skew and kurtosis."],
  exposure: ["exposure", "percent", "Share of the bars with a position, or in which one was closed."],
  turnover: ["turnover", "ratio", "Traded value per year over mean equity: 2 is one full round trip a year."],
  beta: ["beta", "ratio", "Covariance with buy and hold over the variance of buy and hold."],
  alpha: ["alpha", "signed", "Return per year that beta does not explain."],
  correlation: ["correlation", "ratio", "Correlation of the returns per bar with those of buy and hold."],
  information_ratio: ["information ratio", "ratio",
    "Mean excess return over buy and hold, over its standard deviation, per year."],
  tracking_error: ["tracking error", "percent", "Standard deviation of the excess return over buy and hold, per year."],
  n_trades: ["closed trades", "count", "Round trips that are finished."],
  n_open_trades: ["open trades", "count", "Positions still open at the last bar, marked at its close."],
  win_rate: ["win rate", "percent", "Winning trades over closed trades."],
  profit_factor: ["profit factor", "ratio", "Sum of the winning P&L over the size of the losing P&L."],
  payoff_ratio: ["payoff ratio", "ratio", "Mean winning P&L over the size of the mean losing P&L."],
  expectancy: ["expectancy", "money", "Mean P&L of the closed trades, in currency."],
  expectancy_return: ["mean trade", "signed", "Mean return of the closed trades on their entry value."],
  best_trade: ["best trade", "signed", "Highest return of a closed trade."],
  worst_trade: ["worst trade", "signed", "Lowest return of a closed trade."],
  mean_trade_bars: ["mean bars held", "bars", "Mean length of the closed trades."],
  max_trade_bars: ["most bars held", "count", "Length of the longest closed trade."],
  longest_win_streak: ["win streak", "count", "Most winning trades in a row."],
  longest_loss_streak: ["loss streak", "count", "Most losing trades in a row."],
  sqn: ["SQN", "ratio", "Root of the number of trades times mean P&L over its standard deviation."],
  kelly: ["Kelly", "ratio", "Win rate minus loss rate over payoff ratio: the stake that grows fastest, if the past repeats."],
  n_rejected_orders: ["rejected orders", "count", "Entries whose size came out as zero shares."],
  interest: ["interest", "money", "Sum of the financing booked on idle cash and borrowed shares."],
  ruined: ["ruined", "flag", "Equity fell to zero or below; everything was closed and later signals ignored."],
  n_bars: ["bars", "count", "Bars of the run."],
};

/** Groups of the Stats tab, in reading order. */
export const GROUPS = [
  ["Return", ["total_return", "cagr", "volatility", "best_day", "worst_day", "best_month", "worst_month"]],
  ["Risk", ["sharpe", "sortino", "calmar", "omega", "psr", "ulcer_index", "var_95", "cvar_95", "skew", "kurtosis",
    "tail_ratio"]],
  ["Drawdown", ["max_drawdown", "max_drawdown_bars", "max_drawdown_days", "recovery_factor"]],
  ["Trades", ["n_trades", "n_open_trades", "win_rate", "profit_factor", "payoff_ratio", "expectancy",
    "expectancy_return", "best_trade", "worst_trade", "mean_trade_bars", "max_trade_bars",
    "longest_win_streak", "longest_loss_streak", "sqn", "kelly"]],
  ["Against buy & hold", ["beta", "alpha", "correlation", "information_ratio", "tracking_error"]],
  ["Book-keeping", ["exposure", "turnover", "interest", "n_rejected_orders", "ruined", "n_bars"]],
];

/** Groups of the rail beside the charts. */
export const RAIL_GROUPS = [
  ["Return", ["total_return", "cagr", "volatility", "best_month", "worst_month"]],
  ["Risk", ["sharpe", "sortino", "calmar", "max_drawdown", "ulcer_index", "cvar_95", "psr"]],
  ["Trades", ["profit_factor", "expectancy", "payoff_ratio", "mean_trade_bars"]],
];

/** More of the rail, where the screen is wide. */
export const ROOMY_GROUPS = GROUPS.filter(([title]) => ["Drawdown", "Against buy & hold",
  "Book-keeping"].includes(title));

/** Metrics that every combination of a sweep has. */
export const HEADLINE_METRICS = ["total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar",
  "win_rate", "profit_factor", "expectancy", "exposure", "turnover", "n_trades"];

/** The least is the best of these, the largest of all others. */
export const SMALLER_IS_BETTER = ["volatility", "turnover"];

/** Those of them whose sign means gain or loss. */
export const SIGNED_METRICS = ["total_return", "cagr", "sharpe", "sortino", "calmar", "expectancy"];

/** Names of all metrics. */
export const METRIC_NAMES = Object.keys(TABLE);

/** @param {string} name @returns {string} */
export function metricLabel(name) {
  return TABLE[name] ? TABLE[name][0] : name.replaceAll("_", " ");
}

/** @param {string} name @returns {string} */
export function metricDefinition(name) {
  return TABLE[name] ? TABLE[name][2] : "";
}

/** Definition and, where the figure is a dash, its reason. @param {string} name @param {string} [why] */
export function describeMetric(name, why) {
  return why ? `${metricDefinition(name)}\nNot defined here: ${why}.` : metricDefinition(name);
}

/** @param {string} name @param {number|boolean|null|undefined} value @returns {string} */
export function formatMetric(name, value) {
  const format = TABLE[name] ? FORMATS[TABLE[name][1]] : FORMATS.ratio;
  return format(value === undefined ? null : value);
}

/** As short as a dense table needs it: percent with one digit. @param {string} name @param {number|null|undefined} value */
export function formatDense(name, value) {
  const kind = TABLE[name] && TABLE[name][1];
  if (kind === "signed") return formatSignedPercent(value ?? null, 1);
  if (kind === "percent") return formatPercent(value ?? null, 1);
  return kind === "money" ? formatSignedMoney(value ?? null) : formatMetric(name, value);
}

/** Colour class; only returns and money are coloured. @param {string} name @param {*} value */
export function metricClass(name, value) {
  const kind = TABLE[name] && TABLE[name][1];
  return kind === "signed" || kind === "money" ? signClass(value) : "";
}
