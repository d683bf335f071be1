/**
 * A channel's days in the panel: a line of its audience, and the neighbours that came and went.
 *
 * For readers who cannot see the line, a sentence and a table have the same numbers.
 */
import type { Atlas } from "../data/data";
import { count, dayName, things } from "../data/format";
import type { Change, Company, Named, Seen } from "../data/earlier-days";
import { el, nameOf } from "../dom";
import { link } from "./details";

const WIDE = 320;
const HIGH = 64;
const PAD = 5;

/** Unbroken runs of days with a known audience, as points of the line. */
export function runs(seen: Seen[]): { x: number; y: number; viewers: number; day: string }[][] {
  const most = Math.max(1, ...seen.map(({ viewers }) => viewers ?? 0));
  const found: ReturnType<typeof runs> = [];
  let open = false;
  seen.forEach(({ day, viewers }, at) => {
    if (viewers === null) {
      open = false;
      return;
    }
    if (!open) found.push([]);
    open = true;
    const x = PAD + ((WIDE - 2 * PAD) * at) / Math.max(seen.length - 1, 1);
    found.at(-1)!.push({ x, y: HIGH - PAD - ((HIGH - 2 * PAD) * viewers) / most, viewers, day });
  });
  return found;
}

/** The trend in words. */
export function inWords(seen: Seen[]): string {
  const known = seen.filter((day): day is Seen & { viewers: number } => day.viewers !== null);
  const absent = seen.filter(({ on }) => !on).length;
  const missing = absent ? ` It was not on the map on ${absent} of ${things(seen.length, "day")}.` : "";
  const [first, last] = [known[0], known.at(-1)];
  if (!first || !last) return `Its audience is not known on any of these days.${missing}`;
  if (first === last) return `${things(last.viewers, "viewer")} on ${dayName(last.day)}.${missing}`;
  const low = known.reduce((a, b) => (b.viewers < a.viewers ? b : a));
  const high = known.reduce((a, b) => (b.viewers > a.viewers ? b : a));
  const span = `From ${count(first.viewers)} on ${dayName(first.day)} to ${things(last.viewers, "viewer")} on ${dayName(last.day)}`;
  if (known.length === 2) return `${span}.${missing}`;
  return `${span}; lowest ${count(low.viewers)} (${dayName(low.day)}), highest ${count(high.viewers)} (${dayName(high.day)}).${missing}`;
}

const svg = (tag: string, attributes: Record<string, string | number>, ...children: Element[]) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
};

function line(seen: Seen[], shown: string | null): Element {
  const label = svg("title", {});
  label.textContent = `Audience by day. ${inWords(seen)}`;
  const parts: Element[] = [label, svg("line", { x1: PAD, x2: WIDE - PAD, y1: HIGH - PAD, y2: HIGH - PAD, class: "ground" })];
  for (const run of runs(seen)) {
    if (run.length > 1) parts.push(svg("polyline", { points: run.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ") }));
    for (const { x, y, day } of run) {
      if (run.length === 1 || day === shown) parts.push(svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: day === shown ? 4 : 2.5 }));
    }
  }
  return svg("svg", { class: "trend", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img" }, ...parts);
}

function table(seen: Seen[]): HTMLElement {
  const rows = seen.map(({ day, on, viewers }) =>
    el("tr", {}, el("th", { scope: "row" }, dayName(day)), el("td", { className: "number" }, viewers !== null ? count(viewers) : on ? "unknown" : "not on the map")),
  );
  return el("details", {}, el("summary", {}, "Day by day"), el("table", { className: "days" }, el("tbody", {}, ...rows)));
}

function names(title: string, channels: string[]): HTMLElement[] {
  if (!channels.length) return [];
  const links = channels.flatMap((name, at) => [...(at ? [", "] : []), el("a", { href: `#channel=${encodeURIComponent(name)}` }, nameOf(name))]);
  return [el("p", { className: "company" }, el("strong", {}, `${title} `), ...links)];
}

/** The channel's days; `shown` is the day of the map. */
export function trendSection(seen: Seen[], company: Company | null, shown: string | null): HTMLElement {
  const known = seen.some(({ viewers }) => viewers !== null);
  const moved = company && company.came.length + company.went.length > 0;
  const span = company && `Among its ${count(company.kept)} closest channels, ${dayName(company.from)} to ${dayName(company.to)}:`;
  const box = el("div");
  if (known) box.append(line(seen, shown));
  box.append(el("p", { className: "note" }, inWords(seen)));
  if (company) box.append(el("p", { className: "note" }, moved ? span! : `${span!} no change.`));
  if (company) box.append(...names("New:", company.came), ...names("No longer:", company.went));
  if (known) box.append(table(seen));
  return box;
}

/** The name of a group, as a link if the shown map has it. */
function named(level: Change["level"], group: Named, atlas: Atlas): HTMLElement {
  const there = level === "region" ? atlas.regionWith(group.id) : atlas.communityWith(group.id);
  return there ? link(there, group.label) : nameOf(group.label);
}

/** A change as a sentence. */
function sentence({ level, kind, group, others, channels }: Change, atlas: Atlas): (Node | string)[] {
  const of = ` (${things(channels, "channel")})`;
  const itself = named(level, group, atlas);
  const list = others.flatMap((other, at) => [at === 0 ? "" : at === others.length - 1 ? " and " : ", ", named(level, other, atlas)]);
  switch (kind) {
    case "born":
      return [itself, ` is new${of}`];
    case "gone":
      return [itself, ` is gone${of}`];
    case "split":
      return [itself, " split into ", ...list, of];
    case "merged":
      return [...list, " merged into ", itself, of];
  }
}

export const changeList = (changes: Change[], atlas: Atlas) =>
  el("ul", { className: "changes" }, ...changes.map((change) => el("li", {}, `${change.level === "region" ? "Region" : "Community"} `, ...sentence(change, atlas))));

/** The changes on each of the days, the newest first. */
export function changesByDay(days: { day: string; changes: Change[] }[], atlas: Atlas): HTMLElement {
  const changed = days.filter(({ changes }) => changes.length);
  if (!changed.length) return el("p", { className: "note" }, "No change on these days: it did not split or merge, and it is not new.");
  return el("div", {}, ...changed.flatMap(({ day, changes }) => [el("h4", {}, dayName(day)), changeList(changes, atlas)]));
}
