/** What the server wrote into the page: rules, trading fields and datasets. */

/**
 * @typedef {Object} Field one input, as the rule or the trading spec declares it
 * @property {string} name @property {"int"|"float"|"bool"|"choice"} type
 * @property {*} default @property {number|null} minimum @property {number|null} maximum
 * @property {string} unit @property {string[]} choices @property {string} help
 */

/**
 * @typedef {Object} Rule
 * @property {string} name @property {string} title @property {string} summary
 * @property {Field[]} parameters @property {string} version @property {string} source
 */

/**
 * @typedef {Object} Boot
 * @property {string} version @property {Rule[]} rules @property {Field[]} trading
 * @property {Object[]} datasets @property {Object|null} run the one that the address names, if it has ended
 * @property {Object|null} view its figures, if it has succeeded
 * @property {boolean} storage_available whether datasets could be read
 */

/** @returns {Boot} */
export function readBoot() {
  return JSON.parse(document.getElementById("boot-data").textContent);
}

/** @param {Boot} boot @param {string} name @returns {Rule|undefined} */
export function findRule(boot, name) {
  const wanted = String(name).toLowerCase();
  return boot.rules.find((rule) => rule.name === wanted || rule.title.toLowerCase() === wanted);
}

/** @param {Boot} boot @param {string} symbol */
export function findDataset(boot, symbol) {
  const wanted = String(symbol).toLowerCase();
  return boot.datasets.find((dataset) => dataset.symbol.toLowerCase() === wanted);
}

/**
 * The name that the bars of a stored spec have now; they may have got another since.
 * @param {Boot} boot @param {{symbol: string, sha256: string}} dataset
 */
export function currentSymbol(boot, { symbol, sha256 }) {
  if (findDataset(boot, symbol)) return symbol;
  return boot.datasets.find((dataset) => dataset.sha256 === sha256)?.symbol ?? symbol;
}
