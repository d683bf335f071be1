/** Canvases in the screen's own pixels. */

/** Device pixels per CSS pixel, limited to what is worth drawing. */
export const density = () => Math.min(window.devicePixelRatio || 1, 2);

/** The context of a canvas, cleared and sized for a width and height in CSS pixels, in which it then draws. */
export function cleared(canvas: HTMLCanvasElement, width: number, height: number, scale: number): CanvasRenderingContext2D {
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d")!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
