/** The map's camera: moves it, and reports each view in which the reader leaves it. */
import type Sigma from "sigma";
import type { Camera } from "../data/state";
import type { Point } from "./framing";
import type { NodeAttributes } from "./graph";
import { clamp } from "./limits";

/** Pixels of the map that panels cover. */
export interface Insets {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

export interface CameraHooks {
  insets(): Insets;
  /** The reader moved the view, and it rests. */
  moved(camera: Camera): void;
}

export const MIN_RATIO = 0.015;
export const MAX_RATIO = 1.6;
const REST_MS = 300;
const START = { x: 0.5, y: 0.5, ratio: 1, angle: 0 };

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class MapCamera {
  // Moves that the page makes itself, under way; the camera's updates during them are not the reader's.
  private ownMoves = 0;
  private resting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly sigma: Sigma<NodeAttributes>,
    private readonly hooks: CameraHooks,
  ) {
    sigma.getCamera().on("updated", () => {
      if (!this.ownMoves) this.restSoon();
    });
  }

  zoom(factor: number): void {
    const camera = this.sigma.getCamera();
    this.animate({ ...camera.getState(), ratio: clamp(camera.ratio * factor, MIN_RATIO, MAX_RATIO) }, 180);
    this.restSoon();
  }

  /** Moves by shares of the view's width and height. */
  pan(dx: number, dy: number): void {
    this.shift(dx, dy);
    this.restSoon();
  }

  goTo({ x, y, zoom }: Camera): void {
    const goal = this.sigma.viewportToFramedGraph(this.sigma.graphToViewport({ x, y }, { cameraState: START }), { cameraState: START });
    this.animate({ ...goal, ratio: clamp(1 / zoom, MIN_RATIO, MAX_RATIO) }, 0);
  }

  /** Shows all the places in the part of the view that panels leave free; `closest` is the smallest camera ratio. */
  fit(places: Point[], closest: number, duration = 520): void {
    if (!places.length) return;
    const { width, height } = this.sigma.getDimensions();
    const insets = this.hooks.insets();
    const points = places.map((place) => this.sigma.graphToViewport(place, { cameraState: START }));
    const box = {
      left: Math.min(...points.map((point) => point.x)),
      right: Math.max(...points.map((point) => point.x)),
      top: Math.min(...points.map((point) => point.y)),
      bottom: Math.max(...points.map((point) => point.y)),
    };
    const free = {
      width: Math.max(width - insets.left - insets.right, 80),
      height: Math.max(height - insets.top - insets.bottom, 80),
    };
    const ratio = clamp(
      Math.max((box.right - box.left) / (0.86 * free.width), (box.bottom - box.top) / (0.82 * free.height)),
      closest,
      MAX_RATIO,
    );
    const centre = { x: insets.left + free.width / 2, y: insets.top + free.height / 2 };
    const target = { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 };
    const goal = this.sigma.viewportToFramedGraph(target, { cameraState: START });
    const state = { ...START, ratio };
    const there = this.sigma.viewportToFramedGraph(centre, { cameraState: state });
    this.animate({ x: state.x + goal.x - there.x, y: state.y + goal.y - there.y, ratio }, duration);
  }

  /** Moves the view just enough that no panel covers the place. */
  uncover(place: Point): void {
    const { width, height } = this.sigma.getDimensions();
    const insets = this.hooks.insets();
    const point = this.sigma.graphToViewport(place);
    const edge = 40;
    const x = clamp(point.x, insets.left + edge, Math.max(width - insets.right - edge, insets.left + edge));
    const y = clamp(point.y, insets.top + edge, Math.max(height - insets.bottom - edge, insets.top + edge));
    if (x !== point.x || y !== point.y) this.shift((point.x - x) / width, (point.y - y) / height);
  }

  /** Reports the view once it rests, as after a move of the reader's. */
  restSoon(): void {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.sigma.getCamera().isAnimated()) return this.restSoon();
      const { width, height } = this.sigma.getDimensions();
      const middle = this.sigma.viewportToGraph({ x: width / 2, y: height / 2 });
      this.hooks.moved({ ...middle, zoom: 1 / this.sigma.getCamera().ratio });
    }, REST_MS);
  }

  private shift(dx: number, dy: number): void {
    const { width, height } = this.sigma.getDimensions();
    const camera = this.sigma.getCamera().getState();
    const from = this.sigma.viewportToFramedGraph({ x: 0, y: 0 });
    const to = this.sigma.viewportToFramedGraph({ x: dx * width, y: dy * height });
    this.animate({ ...camera, x: camera.x + to.x - from.x, y: camera.y + to.y - from.y }, 140);
  }

  private animate(state: Point & { ratio: number }, duration: number): void {
    const camera = this.sigma.getCamera();
    clearTimeout(this.resting);
    this.ownMoves++;
    const done = () => this.ownMoves--;
    if (reducedMotion.matches || duration === 0) {
      camera.setState({ ...state, angle: 0 });
      done();
    } else void camera.animate({ ...state, angle: 0 }, { duration, easing: "cubicInOut" }).then(done);
  }
}
