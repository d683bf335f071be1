/** Builds elements. Texts become text nodes and nothing here parses HTML, so no name can become markup. */

type Child = Node | string | null | undefined | false;
type Options<K extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[K], "style" | "dataset" | "children" | "attributes">
> & {
  attributes?: Record<string, string>;
  /** CSS custom properties, as "--name": value. */
  properties?: Record<string, string>;
};

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: Options<K> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const { attributes = {}, properties = {}, ...fields } = options;
  const element = document.createElement(tag);
  Object.assign(element, fields);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** An untrusted name; `bdi` keeps a right-to-left name from reordering the text around it. */
export const nameOf = (name: string) => el("bdi", {}, name);

export const swatch = (color: string) =>
  el("span", { className: "swatch", properties: { "--color": color }, attributes: { "aria-hidden": "true" } });
