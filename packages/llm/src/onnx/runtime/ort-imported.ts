/** `#onnxruntime-web` for bundlers: imported by its name. */
import * as ort from 'onnxruntime-web/wasm';

export const loadOrt = async (): Promise<typeof ort> => ort;
