/** Panes as one PNG, with their headings. */

import { COLORS } from "./theme.js";
import { scaleFont } from "./overlays.js";

/**
 * @param {import("./pane.js").Pane[]} panes drawn from top to bottom
 * @returns {Promise<Blob>}
 */
export function composePicture(panes) {
  const ratio = devicePixelRatio;
  const head = 24 * ratio;
  const canvases = panes.map((pane) => pane.u.ctx.canvas);
  const picture = document.createElement("canvas");
  picture.width = Math.max(...canvases.map((canvas) => canvas.width)) + 16 * ratio;
  picture.height = canvases.reduce((sum, canvas) => sum + canvas.height + head, 8 * ratio);
  const ctx = picture.getContext("2d");
  ctx.fillStyle = COLORS.ground;
  ctx.fillRect(0, 0, picture.width, picture.height);
  ctx.textBaseline = "middle";
  let top = 0;
  panes.forEach((pane, idx) => {
    ctx.font = scaleFont(ratio);
    ctx.fillStyle = COLORS.amber;
    const title = pane.spec.title.toUpperCase();
    ctx.fillText(title, 8 * ratio, top + head / 2);
    ctx.fillStyle = COLORS.second;
    ctx.fillText(readoutText(pane), 8 * ratio + ctx.measureText(`${title}  `).width, top + head / 2);
    ctx.drawImage(canvases[idx], 8 * ratio, top + head);
    top += head + canvases[idx].height;
  });
  return new Promise((resolve) => { picture.toBlob(resolve, "image/png"); });
}

function readoutText(pane) {
  return [...pane.readout.children].map((node) => node.textContent).join("   ");
}
