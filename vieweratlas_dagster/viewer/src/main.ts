/** Puts the page together: data, theme, map, search, panel, legend, and the selection in the address. */
import { type Atlas, type Channel, type Community, decode, type Encoded, type Region } from "./data";
import { byId } from "./dom";
import { dateRange, things } from "./format";
import { startHelp } from "./help";
import { markLegend, renderLegend } from "./legend";
import { AtlasMap, type Insets, webglAvailable } from "./map";
import { renderPanel } from "./panel";
import { startSearch } from "./search";
import { hashOf, NOTHING, type Selection, selectionOf } from "./state";
import { colors, startTheme } from "./theme";

const atlas = decode(JSON.parse(byId("atlas-data").textContent ?? "") as Encoded);
const panel = byId("panel");
const legend = byId("legend");
const mapBox = byId("map");
// As in style.css: panels stand beside the map, or are sheets; and there is room for both of them.
const wide = matchMedia("(min-width: 52rem)");
const roomy = matchMedia("(min-width: 68rem)");
let selection: Selection = NOTHING;
let map: AtlasMap | null = null;
// Who changed the address: a click on the map must not move the map, nor take the focus from it.
let fromMap = false;

function header(of: Atlas): void {
  const title = typeof of.facts["title"] === "string" && of.facts["title"] ? of.facts["title"] : "Audience atlas";
  document.title = title;
  byId("title").replaceChildren(title);
  const figures = [
    dateRange(of.facts["date_from"], of.facts["date_to"]),
    things(of.channels.length, "channel"),
    things(of.communities.length, "community", "communities"),
    things(of.regions.length, "region"),
  ];
  byId("subtitle").replaceChildren(figures.filter(Boolean).join(" · "));
  byId("subtitle").title = figures.filter(Boolean).join(" · ");
}

function notice(text: string): void {
  const box = byId("notice");
  box.replaceChildren(text);
  box.hidden = false;
}

/** What the panels cover of the map, in pixels. */
function insets(): Insets {
  const covered = { top: 0, right: 0, bottom: 0, left: 0 };
  const area = mapBox.getBoundingClientRect();
  if (!panel.hidden) {
    const box = panel.getBoundingClientRect();
    if (wide.matches) covered.right = area.right - box.left;
    else covered.bottom = area.bottom - box.top;
  }
  if (!legend.hidden && wide.matches) covered.left = legend.getBoundingClientRect().right - area.left;
  return covered;
}

function follow(): void {
  const first = document.documentElement.dataset["ready"] !== "true";
  selection = selectionOf(location.hash, atlas);
  if (!roomy.matches && selection.kind !== "none") showLegend(false);
  renderPanel(panel, atlas, selection);
  markLegend(legend, selection);
  map?.select(selection, !fromMap);
  if (!fromMap && !first) (panel.querySelector<HTMLElement>("h2") ?? mapBox).focus({ preventScroll: true });
  fromMap = false;
}

function go(target: Channel | Community | Region | null): void {
  const hash = target ? hashOf(target) : "#";
  if (hash === location.hash || (hash === "#" && !location.hash)) follow();
  else location.hash = hash;
}

function showLegend(open: boolean): void {
  legend.hidden = !open;
  byId("legend-toggle").setAttribute("aria-expanded", String(open));
}

function startMap(): AtlasMap | null {
  if (!webglAvailable()) {
    notice("This browser offers no WebGL, so the map cannot be drawn. Search, the list of regions and every channel's details work.");
    showLegend(true);
    return null;
  }
  if (!atlas.channels.length) notice("No channel is on this map yet.");
  return new AtlasMap(atlas, mapBox, colors(), {
    insets,
    pick(target) {
      fromMap = "name" in target;
      go(target);
    },
    pickNothing() {
      if (selection.kind === "none") return;
      fromMap = true;
      go(null);
    },
  });
}

function keys(): void {
  mapBox.addEventListener("keydown", (event) => {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => map?.pan(-0.15, 0),
      ArrowRight: () => map?.pan(0.15, 0),
      ArrowUp: () => map?.pan(0, -0.15),
      ArrowDown: () => map?.pan(0, 0.15),
      "+": () => map?.zoom(1 / 1.5),
      "=": () => map?.zoom(1 / 1.5),
      "-": () => map?.zoom(1.5),
      "0": () => map?.showAll(),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (selection.kind !== "none") go(null);
    else if (!legend.hidden && !roomy.matches) showLegend(false);
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("search").focus();
  });
}

header(atlas);
renderLegend(legend, atlas);
showLegend(roomy.matches && atlas.channels.length > 0);
startTheme(byId<HTMLButtonElement>("theme-toggle"), () => map?.setColors(colors()));
map = startMap();
startSearch(atlas, go);
startHelp(atlas);
keys();
byId("legend-toggle").addEventListener("click", () => showLegend(Boolean(legend.hidden)));
byId("zoom-in").addEventListener("click", () => map?.zoom(1 / 1.6));
byId("zoom-out").addEventListener("click", () => map?.zoom(1.6));
byId("zoom-all").addEventListener("click", () => map?.showAll());
addEventListener("hashchange", follow);
map?.showAll(0);
follow();

const ready = () => {
  document.documentElement.dataset["ready"] = "true";
};
if (map) map.whenPainted(ready);
else ready();
