/** The places that a view should include, pure; the camera finds the view. */
import type { Channel, Neighbour } from "../data/data";

export interface Point {
  x: number;
  y: number;
}

/** Corners of a box with the channel in its middle and most of its `near` neighbours inside. */
export function around(channel: Channel, near: Neighbour[]): Point[] {
  const distances = near
    .map((neighbour) => Math.hypot(neighbour.channel.x - channel.x, neighbour.channel.y - channel.y))
    .sort((a, b) => a - b);
  const reach = distances[Math.floor(0.6 * distances.length)] ?? 0;
  return [
    { x: channel.x - reach, y: channel.y - reach },
    { x: channel.x + reach, y: channel.y + reach },
  ];
}

/** Corners of a box around the places, with room for whole discs at its border. */
export function spread(places: Point[]): Point[] {
  const [xs, ys] = [places.map(({ x }) => x), places.map(({ y }) => y)];
  const room = 0.12 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  return [
    { x: Math.min(...xs) - room, y: Math.min(...ys) - room },
    { x: Math.max(...xs) + room, y: Math.max(...ys) + room },
  ];
}

/** The ranges of x and y of all the places with a margin, at least 0.25 wide; null without a place. */
export function extent(places: Point[]): { x: [number, number]; y: [number, number] } | null {
  if (!places.length) return null;
  const span = (values: number[]): [number, number] => {
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const pad = Math.max(0.25 - (high - low), 0) / 2 + 0.03;
    return [low - pad, high + pad];
  };
  return { x: span(places.map(({ x }) => x)), y: span(places.map(({ y }) => y)) };
}
