/** Figures as SVG. They need Observable Plot and a document, which is a large import: hence this entry of their own. */
export { plotCalibration } from './calibration.ts';
export { type Curve, type CurvesFigure, plotCurves } from './curves.ts';
export { plotErrorAgainstBytes } from './error-against-bytes.ts';
export { plotRecall } from './recall-heat-map.ts';
