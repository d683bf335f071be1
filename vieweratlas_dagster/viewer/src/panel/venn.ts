/** The geometry of two circles whose areas, and that of their common lens, are in proportion to given numbers. */

export interface Venn {
  radii: [number, number];
  /** Between the two centres. */
  distance: number;
}

/** Area of the common lens of two circles at this distance. */
export function lensArea([one, other]: [number, number], distance: number): number {
  if (distance >= one + other) return 0;
  const smaller = Math.min(one, other);
  if (distance <= Math.abs(one - other)) return Math.PI * smaller ** 2;
  // From each centre to the chord; a segment is its sector less its triangle.
  const chord = (distance ** 2 + one ** 2 - other ** 2) / (2 * distance);
  const segment = (radius: number, height: number) => {
    const cosine = Math.min(Math.max(height / radius, -1), 1);
    return radius ** 2 * Math.acos(cosine) - height * Math.sqrt(Math.max(radius ** 2 - height ** 2, 0));
  };
  return segment(one, chord) + segment(other, distance - chord);
}

/** Circles for two sets of these sizes that share `shared` elements; the larger has the radius `largest`. */
export function venn(sizes: [number, number], shared: number, largest: number): Venn {
  const unit = largest / Math.sqrt(Math.max(...sizes));
  const radii = sizes.map((size) => unit * Math.sqrt(size)) as [number, number];
  const wanted = Math.PI * unit ** 2 * Math.min(shared, ...sizes);
  // The lens shrinks steadily as the circles move apart, so bisection finds the distance.
  let [low, high] = [Math.abs(radii[0] - radii[1]), radii[0] + radii[1]];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (lensArea(radii, middle) > wanted) low = middle;
    else high = middle;
  }
  return { radii, distance: (low + high) / 2 };
}
