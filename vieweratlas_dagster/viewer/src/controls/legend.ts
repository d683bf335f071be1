/** The list of regions and their communities, and the key to colours and sizes. */
import type { Atlas, Community, Region } from "../data/data";
import { compact, count } from "../data/format";
import { linkTo, type Selection } from "../data/state";
import { el, nameOf, swatch } from "../dom";
import { radius } from "../map/graph";
import { arrows } from "./arrow-keys";

const SVG = "http://www.w3.org/2000/svg";
const LARGEST_DISC = 13;

function row(group: Community | Region, passing: Set<number> | null): HTMLElement {
  const left = passing && group.members.filter((at) => passing.has(at)).length;
  return el(
    "a",
    { href: linkTo(group), className: left === 0 ? "out" : "" },
    swatch(group.color),
    el("span", { className: "name" }, nameOf(group.label)),
    el("span", { className: "number", title: "channels" }, left === null ? count(group.size) : `${count(left)} of ${count(group.size)}`),
  );
}

/** `passing`: positions of the channels that pass the filter, null without a filter. */
export function renderLegend(legend: HTMLElement, atlas: Atlas, passing: Set<number> | null): void {
  const homeless = atlas.communities.filter((community) => !community.region);
  const lone = atlas.channels.filter((channel) => !channel.community).length;
  const entry = (group: Community | Region, ...inner: HTMLElement[]) => el("li", {}, row(group, passing), ...inner);
  legend.replaceChildren(
    el("h2", {}, "Regions and communities"),
    arrows(
      el(
        "ul",
        {},
        ...atlas.regions.map((region) => {
          const item = entry(region, el("ul", {}, ...region.communities.map((community) => entry(community))));
          item.className = "region";
          return item;
        }),
        ...homeless.map((community) => entry(community)),
      ),
    ),
    el("h2", {}, "Discs"),
    ...sizeKey(atlas),
    ...(lone > 0 ? [el("p", { className: "note" }, swatch("var(--lone)"), `${count(lone)} without a community`)] : []),
  );
}

/** Up to three discs with the audiences that their sizes stand for. */
function sizeKey(atlas: Atlas): HTMLElement[] {
  const largest = atlas.channels[0]?.viewers ?? 0;
  if (!atlas.knows.viewers || !largest) return [el("p", { className: "note" }, "Larger discs have more neighbours.")];
  // Rounded to whole viewers, so small audiences have fewer discs.
  const sizes = [...new Set([1, 0.25, 0.04].map((share) => Math.max(Math.round(share * largest), 1)))];
  const discs = sizes.map((viewers) => {
    const svg = document.createElementNS(SVG, "svg");
    const size = radius(viewers, largest, [1, LARGEST_DISC]);
    svg.setAttribute("viewBox", `0 0 ${2 * LARGEST_DISC} ${2 * LARGEST_DISC}`);
    svg.setAttribute("aria-hidden", "true");
    const circle = document.createElementNS(SVG, "circle");
    for (const [key, value] of Object.entries({ cx: LARGEST_DISC, cy: LARGEST_DISC, r: size })) circle.setAttribute(key, String(value));
    svg.append(circle);
    const item = el("li", {}, el("span", { className: "number" }, compact(viewers)));
    item.prepend(svg);
    return item;
  });
  return [el("ul", { className: "sizes", ariaLabel: "Viewers by size of disc" }, ...discs), el("p", { className: "note" }, "Viewers; a disc's area grows with their number.")];
}

/** Marks the selected entry. */
export function markLegend(legend: HTMLElement, selection: Selection): void {
  const current = selection.kind === "community" || selection.kind === "region" ? linkTo(selection.group) : null;
  for (const link of legend.querySelectorAll("a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
