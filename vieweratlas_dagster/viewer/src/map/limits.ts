/** Keeping numbers within limits. */

export const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

/** 0 up to `low`, 1 from `high`, and a straight line between them. */
export const ramp = (value: number, low: number, high: number) => clamp((value - low) / (high - low), 0, 1);
