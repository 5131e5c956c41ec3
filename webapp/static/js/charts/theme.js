/** Colours and type of the canvases; the same values as in css/tokens.css. */

export const COLORS = {
  ground: "#0b0d10", raised: "#14191f", rule: "#1a2027", axis: "#2a323c", control: "#66717e",
  text: "#ece9e2", second: "#a9b2bd", hint: "#8993a0", amber: "#ffa028",
  gain: "#2ecc71", loss: "#ff4d4d", bench: "#7f9dbd", held: "rgba(127, 157, 189, 0.11)",
    heldShort: "rgba(255, 160, 40, 0.06)",
  lossArea: "rgba(255, 77, 77, 0.2)", benchArea: "rgba(127, 157, 189, 0.16)", textArea: "rgba(236, 233, 226, 0.1)",
};

export const FONT = '11px "DejaVu Sans Mono", monospace';

/** Width of the value axis, equal in all panes so that their time axes line up. */
export const AXIS_WIDTH = 64;
