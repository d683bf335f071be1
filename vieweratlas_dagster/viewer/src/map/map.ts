/** The drawn map: land below, lines of the selection, discs (sigma, WebGL), and names on top. */
import Sigma from "sigma";
import type { Atlas } from "../data/data";
import type { View } from "../data/state";
import { type CameraHooks, MapCamera, MAX_RATIO, MIN_RATIO } from "./camera";
import { cleared, density } from "./canvas";
import { Discs } from "./discs";
import { Emphasis, NEIGHBOURS_NAMED } from "./emphasis";
import { around, extent, spread } from "./framing";
import type { NodeAttributes } from "./graph";
import type { Box } from "./label-placement";
import { Names } from "./names";
import { Pointer, type PointerHooks } from "./pointer";
import { Scene } from "./scene";
import { mapScale } from "./screen";
import { drawLinks } from "./strokes";
import type { Colors } from "./theme";

export interface MapHooks extends CameraHooks, PointerHooks {
  /** Boxes in pixels of the map where no name may stand, because something lies over them. */
  covered(): Box[];
}

export function webglAvailable(): boolean {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

export class AtlasMap {
  private readonly sigma: Sigma<NodeAttributes>;
  private readonly stage: HTMLElement;
  private readonly links: HTMLCanvasElement;
  private readonly scene: Scene;
  private readonly camera: MapCamera;
  private readonly names: Names;

  constructor(atlas: Atlas, container: HTMLElement, colors: Colors, hooks: MapHooks) {
    const canvas = (id: string) => container.querySelector<HTMLCanvasElement>(`#${id}`)!;
    this.stage = container.querySelector<HTMLElement>("#graph")!;
    this.links = canvas("links");
    this.scene = new Scene(atlas, colors, canvas("land"));
    this.sigma = new Sigma(this.discs(), this.stage, {
      allowInvalidContainer: true,
      renderLabels: false,
      zIndex: true,
      enableCameraRotation: false,
      minCameraRatio: MIN_RATIO,
      maxCameraRatio: MAX_RATIO,
      stagePadding: Math.min(70, 0.06 * Math.min(this.stage.clientWidth, this.stage.clientHeight)),
      defaultNodeType: "disc",
      nodeProgramClasses: { disc: Discs },
      nodeHoverProgramClasses: {},
      defaultDrawNodeHover: () => undefined,
      nodeReducer: (node, data) => this.scene.look(Number(node), data),
    });
    const frame = extent(atlas.channels);
    if (frame) this.sigma.setCustomBBox(frame);
    this.camera = new MapCamera(this.sigma, hooks);
    this.names = new Names(canvas("labels"), this.sigma, this.scene, () => hooks.covered());
    new Pointer(container, this.sigma, this.scene, this.names, hooks).listen();
    this.sigma.on("afterRender", () => this.draw());
  }

  /** Takes a different day's map in the same frame, so that unmoved channels stay in place; the next `show` draws it. */
  setAtlas(atlas: Atlas): void {
    this.scene.setAtlas(atlas);
    this.names.clear();
    this.sigma.setGraph(this.discs());
  }

  /** Runs once the first frame is drawn. */
  whenPainted(done: () => void): void {
    this.sigma.once("afterRender", done);
    this.sigma.refresh();
  }

  setColors(colors: Colors): void {
    this.scene.colors = colors;
    this.names.recolor();
    this.scene.land.stale();
    this.sigma.refresh();
  }

  /**
   * Shows a view's selection and filter, and moves to the view's camera, or without one to the best view of
   * the selection; with `stay` it moves only if a panel hides the selected channel.
   */
  show(view: View, stay: boolean): void {
    const { camera, scene } = this;
    const { selection } = view;
    scene.emphasis = new Emphasis(scene.atlas, selection, view.filter);
    scene.land.stale();
    this.sigma.refresh({ skipIndexation: true });
    if (stay) {
      if (selection.kind === "channel") camera.uncover(selection.channel);
    } else if (view.camera) camera.goTo(view.camera);
    else if (selection.kind === "channel") camera.fit(around(selection.channel, scene.emphasis.neighbours.slice(0, NEIGHBOURS_NAMED)), 0.16);
    else if (selection.kind === "compare") camera.fit(spread(selection.channels), 0.16);
    else if (selection.kind !== "none") camera.fit(this.channels(selection.group.members), 0.1);
  }

  zoom(factor: number): void {
    this.camera.zoom(factor);
  }

  /** Moves by shares of the view's width and height. */
  pan(dx: number, dy: number): void {
    this.camera.pan(dx, dy);
  }

  /** Shows all the land, inside the part that panels leave free; without land, every channel. */
  showAll(duration?: number): void {
    this.camera.fit(this.scene.mainland, 0.2, duration);
  }

  /** Moves to the best view of the channels that pass the filter. */
  goToPassing(): void {
    this.camera.fit(this.channels([...(this.scene.emphasis.passing ?? [])]), 0.1);
    this.camera.restSoon();
  }

  /** Draws the names again, after something was laid over the map or taken away. */
  redrawNames(): void {
    this.names.draw();
  }

  private discs() {
    return this.scene.discs(this.stage.clientWidth * this.stage.clientHeight);
  }

  private channels(positions: number[]) {
    return positions.map((at) => this.scene.atlas.channels[at]!);
  }

  private draw(): void {
    const { scene, sigma } = this;
    const { width, height } = sigma.getDimensions();
    const frame = { width, height, ...mapScale(sigma), density: density() };
    scene.land.show(frame, { colors: scene.colors, tint: (community) => scene.emphasis.tintOf(community) });
    drawLinks(cleared(this.links, width, height, density()), sigma, scene);
    this.names.draw();
  }
}
