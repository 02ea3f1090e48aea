/**
 * Server-sent events. The response begins with the first event, or with a comment where that takes longer than a
 * connection should stay silent: until then a failure still has its HTTP status.
 */

/** One event; `event` names its type where the API has named events. */
export interface ServerEvent {
  event?: string;
  data: string;
}

export interface EventStreamOptions {
  /** Milliseconds of silence after which a comment is sent. */
  keepAliveMs: number;
  /** What is sent then: a comment, or an event that clients skip. */
  keepAlive: () => string;
  /** The events that tell of a failure in the midst of the stream; they end it. */
  onError: (error: unknown) => ServerEvent[];
  /** Called when the client has gone. */
  onCancel: () => void;
}

/**
 * The response that streams `events`. Throws what they throw before the response has begun. Events are taken as the
 * client reads: one that stops reading stops the work.
 */
export async function eventStreamResponse(
  events: AsyncIterable<ServerEvent>,
  { keepAliveMs, keepAlive, onError, onCancel }: EventStreamOptions,
): Promise<Response> {
  const encoder = new TextEncoder();
  const iterator = events[Symbol.asyncIterator]();
  let next = iterator.next();
  await withTimeout(next, keepAliveMs);

  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const result = await withTimeout(next, keepAliveMs);
        if (result === 'timeout') {
          controller.enqueue(encoder.encode(keepAlive()));
        } else if (result.done) {
          controller.close();
        } else {
          controller.enqueue(encoder.encode(formatEvent(result.value)));
          next = iterator.next();
        }
      } catch (error) {
        for (const event of onError(error)) controller.enqueue(encoder.encode(formatEvent(event)));
        controller.close();
      }
    },
    cancel() {
      onCancel();
      next.catch(() => {});
      void iterator.return?.().catch(() => {});
    },
  });
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache',
      // Tells nginx not to hold events back.
      'X-Accel-Buffering': 'no',
    },
  });
}

/** A line that clients of server-sent events skip. */
export const comment = (text: string): string => `: ${text.replace(/[\r\n]+/g, ' ')}\n\n`;

/** An event as it goes over the wire; JSON has no line breaks, so its data is one line. */
export const formatEvent = ({ event, data }: ServerEvent): string =>
  `${event === undefined ? '' : `event: ${event}\n`}data: ${data}\n\n`;

/** What `promise` gives, or `timeout` where it takes longer. */
async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T | 'timeout'> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), milliseconds);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
