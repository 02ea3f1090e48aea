/** Opens a report without a browser: its script runs on a document of linkedom. Charts have a place 800 pixels wide. */
import { runInNewContext } from 'node:vm';
import { parseHTML } from 'linkedom';

const WIDTH = 800;

export interface OpenPage {
  document: Document;
  /** Text of the first element that a selector finds, blanks made one. */
  text(selector: string): string;
  /** Text of all elements that a selector finds. */
  texts(selector: string): string[];
  /** Sends an event to an element, and waits until the page has followed it. */
  fire(element: Element | null | undefined, event: string, fields?: object): Promise<void>;
}

/** The page once it has drawn itself. What its script throws fails the call. */
export async function openPage(html: string): Promise<OpenPage> {
  const { document, window } = parseHTML(html);
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)];
  const failures: unknown[] = [];
  class ResizeObserver {
    readonly #report: (entries: object[]) => void;
    constructor(report: (entries: object[]) => void) {
      this.#report = report;
    }
    observe() {
      queueMicrotask(() => this.#report([{ contentRect: { width: WIDTH } }]));
    }
    disconnect() {}
  }
  const globals = {
    document,
    window,
    ResizeObserver,
    matchMedia: () => ({ matches: false, addEventListener() {} }),
    requestAnimationFrame: (callback: () => void) => setTimeout(callback, 0),
    cancelAnimationFrame: clearTimeout,
    getComputedStyle: () => ({ getPropertyValue: () => '' }),
    HTMLElement: window.HTMLElement,
    SVGElement: window.SVGElement,
    Element: window.Element,
    Node: window.Node,
    NodeList: window.NodeList,
    atob,
    Blob,
    Response,
    DecompressionStream,
    setTimeout,
    clearTimeout,
    queueMicrotask,
    console: { ...console, error: (...parts: unknown[]) => failures.push(parts) },
  };
  const settle = async () => {
    for (let i = 0; i < 6; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    if (failures.length > 0) throw new Error(String(failures[0]));
  };
  for (const [, script = ''] of scripts) runInNewContext(script, { ...globals, self: globals, globalThis: globals });
  for (let i = 0; i < 200 && document.querySelector('main') === null; i++) await settle();
  await settle();
  const textOf = (element: Element | null) => (element?.textContent ?? '').replace(/\s+/g, ' ').trim();
  return {
    document,
    text: (selector) => textOf(document.querySelector(selector)),
    texts: (selector) => [...document.querySelectorAll(selector)].map(textOf),
    async fire(element, name, fields = {}) {
      if (!element) throw new Error(`There is no element for ${name}.`);
      const event = new window.Event(name, { bubbles: true });
      for (const [field, value] of Object.entries(fields)) Object.defineProperty(event, field, { value });
      element.dispatchEvent(event);
      await settle();
    },
  };
}
