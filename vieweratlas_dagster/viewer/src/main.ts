/** Connects the parts of the page: data, theme, map, search, panel, legend, filter, and the view in the address. */
import { startArrows } from "./controls/arrow-keys";
import { leftOver, renderFilters } from "./controls/filter-form";
import { startHelp } from "./controls/help";
import { markLegend, renderLegend } from "./controls/legend";
import { startSearch } from "./controls/search";
import { Timeline } from "./controls/timeline";
import { type Atlas, decode, type Encoded } from "./data/data";
import { EVERYTHING, type Filter, isActive, passing } from "./data/filter";
import { dateRange, things } from "./data/format";
import { hashOf, NOTHING, selectionFor, START, type View, viewOf } from "./data/state";
import { byId } from "./dom";
import type { Insets } from "./map/camera";
import type { Box } from "./map/label-placement";
import { AtlasMap, webglAvailable } from "./map/map";
import { colors, startTheme } from "./map/theme";
import { renderPanel } from "./panel/panel";
import { pastSection, renderAbsent } from "./panel/past";

const today = decode(JSON.parse(byId("atlas-data").textContent ?? "") as Encoded);
// The map of the shown day.
let atlas = today;
const panel = byId("panel");
const legend = byId("legend");
const filters = byId("filters");
const mapBox = byId("map");
// Boxes over the map, under which no name may stand.
const overlays = [byId("days"), panel, legend, filters, byId("chip"), byId("toast"), document.querySelector<HTMLElement>(".zoom")!];
// As in style.css: panels stand beside the map and are not sheets; and both panels have room.
const wide = matchMedia("(min-width: 52rem)");
const roomy = matchMedia("(min-width: 68rem)");
let view: View = START;
let map: AtlasMap | null = null;
// The address of the shown view.
let shownHash = "";

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

/** The pixels of the map that panels cover at each side. */
function insets(): Insets {
  const covered = { top: 0, right: 0, bottom: 0, left: 0 };
  const area = mapBox.getBoundingClientRect();
  if (!panel.hidden) {
    const box = panel.getBoundingClientRect();
    if (wide.matches) covered.right = area.right - box.left;
    else covered.bottom = area.bottom - box.top;
  }
  // The slider is above the map's middle on small screens, and below it on others.
  const slider = byId("days");
  if (!slider.hidden) {
    const box = slider.getBoundingClientRect();
    if (box.top + box.bottom < area.top + area.bottom) covered.top = box.bottom - area.top;
    else covered.bottom = Math.max(covered.bottom, area.bottom - box.top);
  }
  const left = [legend, filters].find((box) => !box.hidden);
  if (left && wide.matches) covered.left = left.getBoundingClientRect().right - area.left;
  return covered;
}

function covered(): Box[] {
  const area = mapBox.getBoundingClientRect();
  return overlays
    .filter((box) => !box.hidden)
    .map((box) => box.getBoundingClientRect())
    .map(({ left, right, top, bottom }) => ({ left: left - area.left - 4, right: right - area.left + 4, top: top - area.top - 4, bottom: bottom - area.top + 4 }));
}

const timeline = new Timeline(byId("days"), () => byId("atlas-history").textContent ?? "", today, {
  choose: (day) => goStaying({ day, absent: view.absent }),
  loaded() {
    // Only the day of the view is still missing.
    follow(true);
  },
  failed: (reason) => notice(`The earlier days cannot be read: ${reason}`),
});

/** Shows the map of the day in the address, or today's while the history is being unpacked. */
function showDay(): void {
  const asked = timeline.mapOf(viewOf(location.hash, today).view.day);
  if (asked === atlas) return;
  atlas = asked;
  header(atlas);
  map?.setAtlas(atlas);
}

/** Renders the section on other days below the facts of the panel. */
function renderPast(): void {
  panel.querySelector(".past")?.remove();
  const past = pastSection(timeline, atlas, view);
  if (past) panel.querySelector("dl, .why")?.after(past);
  timeline.showChanges(atlas);
}

/**
 * Shows the view of the address.
 *
 * With `stay`, the camera and the focus stay, as after actions on the map or in the filter.
 */
function follow(stay = false): void {
  shownHash = location.hash;
  const first = document.documentElement.dataset["ready"] !== "true";
  showDay();
  const reading = viewOf(location.hash, atlas, today);
  view = reading.view;
  reportIgnored(reading.ignored);
  if (!roomy.matches && view.selection.kind !== "none") showLeft(wide.matches && !filters.hidden ? filters : null);
  renderPanel(panel, atlas, view, (channels) => go({ selection: { kind: "compare", channels } }));
  if (view.absent !== null && view.selection.kind === "none") renderAbsent(panel, atlas, today, view.absent);
  renderPast();
  renderLegend(legend, atlas, passing(atlas, view.filter));
  markLegend(legend, view.selection);
  showFilter();
  map?.show(view, stay);
  if (!stay && !first) (panel.querySelector<HTMLElement>("h2") ?? mapBox).focus({ preventScroll: true });
}

function reportIgnored(parts: string[]): void {
  byId("toast").hidden = parts.length === 0;
  byId("toast-text").replaceChildren(parts.length ? `The address names something that is not on this map: ${parts.slice(0, 3).join(", ")}` : "");
}

/**
 * Changes the view, and moves the camera to the best view of it unless `change` has a camera.
 *
 * The view is shown at once: the hashchange event comes later, and until then keys would act on the old view.
 */
function go(change: Partial<View>, stay = false): void {
  const kept = "selection" in change ? { ...view, elsewhere: [] } : view;
  const hash = hashOf({ ...kept, camera: null, absent: null, ...change });
  // Replacing no fragment by "#" would only cause an event.
  if (hash !== "#" || location.hash) location.hash = hash;
  follow(stay);
}

/** Writes the camera into the address, without a step for the browser's Back. */
function nameView(): void {
  try {
    history.replaceState(history.state, "", hashOf(view));
    shownHash = location.hash;
  } catch {
    // The browser forbids pages to change their address here; then it keeps only the selection.
  }
}

function goStaying(change: Partial<View>): void {
  go({ camera: view.camera, ...change }, true);
}

const setFilter = (filter: Filter) => goStaying({ filter });

function showFilter(): void {
  if (!filters.hidden) renderFilters(filters, atlas, view.filter, setFilter, closeFilter);
  byId("chip").hidden = !isActive(view.filter);
  byId("chip-go").hidden = !map || !passing(atlas, view.filter)?.size;
  byId("chip-text").replaceChildren(isActive(view.filter) ? leftOver(atlas, view.filter) : "");
  byId("filter-toggle").classList.toggle("active", isActive(view.filter));
}

function closeFilter(): void {
  showLeft(null);
  byId("filter-toggle").focus();
}

/** Opens the legend or the filter, which share a place, or closes both. */
function showLeft(box: HTMLElement | null): void {
  for (const [side, button] of [[legend, "legend-toggle"], [filters, "filter-toggle"]] as const) {
    side.hidden = side !== box;
    byId(button).setAttribute("aria-expanded", String(side === box));
  }
  map?.redrawNames();
}

function startMap(): AtlasMap | null {
  if (!webglAvailable()) {
    notice("This browser does not offer WebGL, so the map cannot be drawn. The search, the list of regions and the details of every channel still work.");
    showLeft(legend);
    return null;
  }
  if (!atlas.channels.length) notice("This map does not contain any channel yet.");
  return new AtlasMap(atlas, mapBox, colors(), {
    insets,
    covered,
    pick(target, staying) {
      (staying ? goStaying : go)({ selection: selectionFor(target) });
    },
    pickNothing() {
      if (view.selection.kind !== "none" || view.absent !== null) goStaying({ selection: NOTHING });
    },
    moved(camera) {
      view = { ...view, camera };
      nameView();
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
      "0": () => showAll(),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (!filters.hidden && (filters.contains(document.activeElement) || !wide.matches)) closeFilter();
    else if (view.selection.kind !== "none" || view.absent !== null) go({ selection: NOTHING, camera: view.camera });
    else if (!legend.hidden && !roomy.matches) showLeft(null);
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("search").focus();
  });
}

/** Makes links on the page change the selection and keep the rest of the view. */
function links(): void {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null;
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { selection, absent } = viewOf(link.getAttribute("href")!, atlas).view;
    go(selection.kind === "none" ? { selection, absent, camera: view.camera } : { selection });
  });
}

function showAll(): void {
  map?.showAll();
  if (!view.camera) return;
  view = { ...view, camera: null };
  nameView();
}

function buttons(): void {
  byId("legend-toggle").addEventListener("click", () => showLeft(legend.hidden ? legend : null));
  byId("filter-toggle").addEventListener("click", () => {
    showLeft(filters.hidden ? filters : null);
    showFilter();
    filters.querySelector<HTMLElement>("h2")?.focus();
  });
  byId("chip-go").addEventListener("click", () => map?.goToPassing());
  byId("chip-clear").addEventListener("click", () => {
    setFilter(EVERYTHING);
    mapBox.focus({ preventScroll: true });
  });
  byId("toast-close").addEventListener("click", () => {
    reportIgnored([]);
    mapBox.focus({ preventScroll: true });
  });
  byId("zoom-in").addEventListener("click", () => map?.zoom(1 / 1.6));
  byId("zoom-out").addEventListener("click", () => map?.zoom(1.6));
  byId("zoom-all").addEventListener("click", showAll);
}

/** Lets one finger move the page while it is enlarged, even where the map fills the screen. */
function releaseEnlargedPage(): void {
  const viewport = window.visualViewport;
  viewport?.addEventListener("resize", () => mapBox.classList.toggle("enlarged", viewport.scale > 1.02));
}

header(atlas);
showLeft(roomy.matches && atlas.channels.length > 0 ? legend : null);
startTheme(byId<HTMLButtonElement>("theme-toggle"), () => map?.setColors(colors()));
map = startMap();
startSearch(
  () => atlas,
  today,
  (target) => go({ selection: selectionFor(target) }),
  (absent) => go({ selection: NOTHING, absent }),
);
startHelp(today);
startArrows();
keys();
links();
buttons();
releaseEnlargedPage();
addEventListener("hashchange", () => {
  if (location.hash !== shownHash) follow();
});
map?.showAll(0);
follow();

const ready = () => {
  document.documentElement.dataset["ready"] = "true";
};
if (map) map.whenPainted(ready);
else ready();
