/** Puts the page together: data, theme, map, search, panel, legend, filter, and the view in the address. */
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
// The map of the day that is shown.
let atlas = today;
const panel = byId("panel");
const legend = byId("legend");
const filters = byId("filters");
const mapBox = byId("map");
// What lies over the map and must not cover names.
const overlays = [byId("days"), panel, legend, filters, byId("chip"), byId("toast"), document.querySelector<HTMLElement>(".zoom")!];
// As in style.css: panels stand beside the map, or are sheets; and there is room for both of them.
const wide = matchMedia("(min-width: 52rem)");
const roomy = matchMedia("(min-width: 68rem)");
let view: View = START;
let map: AtlasMap | null = null;
// What the address says of the view that is shown.
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

/** What the panels cover of the map, in pixels. */
function insets(): Insets {
  const covered = { top: 0, right: 0, bottom: 0, left: 0 };
  const area = mapBox.getBoundingClientRect();
  if (!panel.hidden) {
    const box = panel.getBoundingClientRect();
    if (wide.matches) covered.right = area.right - box.left;
    else covered.bottom = area.bottom - box.top;
  }
  // On small screens the slider is above the map's middle, on others below it.
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
    // The view is there already, but for the day.
    follow(true);
  },
  failed: (reason) => notice(`The earlier days cannot be read: ${reason}`),
});

/** The map of the day that the address names, or today's while that is being unpacked. */
function showDay(): void {
  const asked = timeline.mapOf(viewOf(location.hash, today).view.day);
  if (asked === atlas) return;
  atlas = asked;
  header(atlas);
  map?.setAtlas(atlas);
}

/** What there is to say of other days, below the facts of the panel. */
function renderPast(): void {
  panel.querySelector(".past")?.remove();
  const past = pastSection(timeline, atlas, view);
  if (past) panel.querySelector("dl, .why")?.after(past);
  timeline.tellChanges(atlas);
}

/** Shows what the address says; with `stay` map and focus stay where they are, as for what is done on the map or in the filter. */
function follow(stay = false): void {
  shownHash = location.hash;
  const first = document.documentElement.dataset["ready"] !== "true";
  showDay();
  const reading = viewOf(location.hash, atlas, today);
  view = reading.view;
  tellIgnored(reading.ignored);
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

function tellIgnored(parts: string[]): void {
  byId("toast").hidden = parts.length === 0;
  byId("toast-text").replaceChildren(parts.length ? `The address names something that is not on this map: ${parts.slice(0, 3).join(", ")}` : "");
}

/**
 * Changes the view; the camera goes where that is seen best unless it is given.
 *
 * Shown at once: the event about the address comes later, and keys pressed meanwhile would meet the old view.
 */
function go(change: Partial<View>, stay = false): void {
  const kept = "selection" in change ? { ...view, elsewhere: [] } : view;
  const hash = hashOf({ ...kept, camera: null, absent: null, ...change });
  // "#" for no fragment at all would be an event without a difference to be seen.
  if (hash !== "#" || location.hash) location.hash = hash;
  follow(stay);
}

/** Lets the address say where the map is, without a step for the browser's Back. */
function nameView(): void {
  try {
    history.replaceState(history.state, "", hashOf(view));
    shownHash = location.hash;
  } catch {
    // a page that may not change its own address: then it keeps the selection only
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

/** Opens the legend or the filter, which share a place, or neither. */
function showLeft(box: HTMLElement | null): void {
  for (const [one, button] of [[legend, "legend-toggle"], [filters, "filter-toggle"]] as const) {
    one.hidden = one !== box;
    byId(button).setAttribute("aria-expanded", String(one === box));
  }
  map?.redrawNames();
}

function startMap(): AtlasMap | null {
  if (!webglAvailable()) {
    notice("This browser offers no WebGL, so the map cannot be drawn. Search, the list of regions and every channel's details work.");
    showLeft(legend);
    return null;
  }
  if (!atlas.channels.length) notice("No channel is on this map yet.");
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

/** Links on the page change the selection and leave the rest of the view as it is. */
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
    tellIgnored([]);
    mapBox.focus({ preventScroll: true });
  });
  byId("zoom-in").addEventListener("click", () => map?.zoom(1 / 1.6));
  byId("zoom-out").addEventListener("click", () => map?.zoom(1.6));
  byId("zoom-all").addEventListener("click", showAll);
}

/** A page enlarged with two fingers must be movable with one, also where the map fills the screen. */
function leaveWayOut(): void {
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
leaveWayOut();
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
