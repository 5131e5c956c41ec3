/** Raw best and plateau side by side; until there is a verdict, plainly what speaks for and against them. */

import { fill, h } from "../lib/dom.js";
import { DASH, formatCount, formatPercent } from "../lib/format.js";
import { SIGNED_METRICS, formatMetric, metricClass, metricLabel } from "../lib/metrics.js";
import { axisNames, findEdges, levelIn } from "./axes.js";
import { formatLevel } from "./heat_data.js";
import { isTerminal } from "./session.js";

const FEW_TRADES = 30;
// Neighbourhoods this close are called alike.
const NEARLY = 0.1;
const METRICS = ["total_return", "max_drawdown", "win_rate", "n_trades"];

/**
 * What can be said without statistics that are not there: each a sentence, and whether it speaks for the winner.
 * @param {Object} sweep @param {Object|null} spread of the objective over all combinations @param {{value: number,
 *   share: number|null}|null} held of buy and hold, and the share of combinations above it
 * @returns {Array<{isGood: boolean|null, text: string}>}
 */
export function collectFacts(sweep, spread, held) {
  const { best, plateau, objective } = sweep;
  const facts = [];
  const say = (isGood, text) => facts.push({ isGood, text });
  const show = (value) => formatMetric(objective, value);
  const count = (n) => `${n} ${n === 1 ? "neighbour" : "neighbours"}`;
  if (sweep.n_done <= 1 && isTerminal(sweep.state)) {
    say(null, "one combination: nothing was swept, so there is nothing to compare");
    return facts;
  }
  say(null, `${formatCount(sweep.n_done)} combinations tried: the best of so many is partly luck`);
  if (!best) return facts;
  const isSame = plateau && plateau.index === best.index;
  if (isSame) say(true,
    `the raw best is the plateau too: ${show(plateau.score)} with its ${count(plateau.n_neighbours)}`);
  else if (plateau) say(true,
    `plateau: ${show(plateau.metrics[objective])}, and ${show(plateau.score)} with its ${count(plateau.n_neighbours)}`);
  if (!isSame && typeof best.score === "number") {
    const isBroad = plateau && Math.abs(best.score - plateau.score) <= Math.abs(plateau.score) * NEARLY;
    say(isBroad, `raw best: ${show(best.metrics[objective])}, ${isBroad ? "and" : "but"} ${show(best.score)} with its ${count(best.n_neighbours)}`);
  }
  const edges = findEdges(sweep, best);
  if (edges.length) say(false,
    `raw best on the edge of ${edges.map((name) => `${name} (${formatLevel(levelIn(best, name))})`).join(", ")}: widen the space?`);
  else say(true, "raw best lies inside the space");
  const { n_trades: nTrades } = best.metrics;
  if (nTrades < FEW_TRADES) say(false, `raw best rests on ${formatCount(nTrades)} trades`);
  if (spread && SIGNED_METRICS.includes(objective)) say(spread.positive > 0.5,
    `${formatPercent(spread.positive, 1)} of the combinations have a ${metricLabel(objective)} above 0`);
  if (held && held.share !== null) say(held.share > 0.5,
    `${formatPercent(held.share, 1)} are above buy & hold (${show(held.value)})`);
  return facts;
}

/**
 * Whether the winner never had a position: nothing moves less and costs less than a rule that does nothing.
 * @param {Object} sweep
 */
export function isIdle({ best }) {
  return best?.metrics.exposure === 0;
}

/** @param {Object} sweep @returns {string} one piece of advice */
export function chooseAdvice({ best, plateau, state, objective, spec: { search } }) {
  if (isIdle({ best })) {
    return `The raw best never traded, which its ${metricLabel(objective)} does not tell: raise min trades to rank only `
      + "combinations that did.";
  }
  if (state !== "succeeded") {
    return isTerminal(state) ? "Not all combinations were computed, so neighbourhoods are not judged."
      : "Neighbourhoods are judged once every combination is computed.";
  }
  if (!best) return "No combination is eligible: lower the least number of trades, or widen the space.";
  if (!plateau && search.method !== "grid") return "No two tried combinations are neighbours: sweep a grid around the best.";
  if (!plateau) return "No neighbourhood can be judged: sweep at least two values of a numeric parameter.";
  if (plateau.index === best.index) return "Raw best and plateau agree; test it on unseen data before use.";
  return "Prefer the plateau; test it on unseen data before use.";
}

/**
 * @param {HTMLElement} root @param {Object} sweep
 * @param {{spread: Object|null, held: Object|null, isJudged: boolean, onOpen: (index: number) => void}} more the
 *   verdict says better what is said here without it
 */
export function showLuck(root, sweep, { spread, held, isJudged, onOpen }) {
  const { best, plateau, objective } = sweep;
  const open = (row, id) => row && h("button",
    { type: "button", id, class: "btn btn-small", "aria-label": `Open the ${id.slice(5)} as a run`,
    text: "Open", on: { click: () => onOpen(row.index) } });
  const cell = (row, name) => h("td", { class: `n ${row && metricClass(name, row.metrics[name])}`, text: row
    ? formatMetric(name, row.metrics[name]) : DASH });
  const near = (row, value) => h("td", { class: "n", text: row && typeof value === "number"
    ? formatMetric(objective, value) : DASH });
  fill(root,
    h("header", { class: "panel-head" }, h("h2", { text: "Winner" }),
      h("span", { class: "second", text: "raw best against plateau" })),
    h("table", { class: "grid luck-table" },
      h("caption", { class: "visually-hidden", text: "Raw best against plateau" }),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Setting" }),
        [["Raw best", best, "open-best"], ["Plateau", plateau, "open-plateau"]]
        .map(([text, row, id]) => h("th", { scope: "col", class: "n" }, text, " ", open(row, id))))),
      h("tbody", {},
        axisNames(sweep).map((name) => h("tr", {}, h("th", { scope: "row", class: "second", text: name }),
          [best, plateau].map((row) => h("td", { class: "n", text: row ? formatLevel(levelIn(row, name)) : DASH })))),
        h("tr", { class: "is-main" }, h("th", { scope: "row", text: metricLabel(objective) }), cell(best, objective),
          cell(plateau, objective)),
        h("tr", {}, h("th", { scope: "row", text: "median with neighbours" }), near(best, best?.score),
          near(plateau, plateau?.score)),
        METRICS.filter((name) => name !== objective)
          .map((name) => h("tr", {}, h("th", { scope: "row", text: metricLabel(name) }), cell(best, name),
          cell(plateau, name))))),
    !isJudged && h("ul", { class: "facts-list" }, collectFacts(sweep, spread, held).map(({ isGood, text }) => h("li", {},
      h("span", { class: isGood === false ? "amber" : "text", "aria-label": isGood === null ? "fact" : isGood ? "for"
        : "against", text: isGood === null ? "·" : isGood ? "+" : "−" }), text))),
    // No verdict says that there is nothing to judge.
    (!isJudged || isIdle(sweep)) && h("p", { class: "advice" }, h("span", { class: "amber", "aria-hidden": "true", text: "→ " }), chooseAdvice(sweep)));
}
