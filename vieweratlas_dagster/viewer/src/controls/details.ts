/** Parts that all details in the panel share. */
import type { Channel, Community, Region } from "../data/data";
import { linkTo } from "../data/state";
import { el, nameOf, swatch } from "../dom";

export const link = (target: Channel | Community | Region, text: string) => el("a", { href: linkTo(target) }, nameOf(text));

/** The heading, which takes the focus when the details change. */
export const heading = (text: string) => el("h2", { tabIndex: -1 }, nameOf(text));

export function fact(term: string, ...value: (Node | string)[]): HTMLElement[] {
  return [el("dt", {}, term), el("dd", {}, ...value)];
}

export const groupLink = (group: Community | Region) =>
  el("span", { className: "tagged" }, swatch(group.color), link(group, group.label));
