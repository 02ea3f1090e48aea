/**
 * What a helping thread does: it takes what it can of each job and sleeps in between. Between two messages it must run its
 * event loop, for that is how the next one arrives.
 */
import {
  awaitNextJob,
  type Control,
  claimTask,
  currentJob,
  failTask,
  finishTask,
  isStopped,
  messagesFor,
  openControl,
  ownerOf,
  setBusy,
  taskOf,
} from './control.ts';
import type { Listen } from './thread.ts';

/** A message to a helper; the first one says where it works. */
export type HelperMessage =
  | { type: 'join'; control: SharedArrayBuffer; helper: number }
  /** What an owner's jobs are done with. */
  | { type: 'configure'; owner: number; configuration: number; setup: unknown }
  /** An owner has left. */
  | { type: 'forget'; owner: number };

/** What a helper can do for owners. */
export interface HelperWork {
  /** Makes ready for the jobs of an owner: gives what does one of their tasks. */
  open(owner: number, setup: unknown): Promise<(task: number) => void>;
  /** Lets go of what was opened for an owner. */
  close(owner: number): void;
}

interface OpenedOwner {
  configuration: number;
  runTask(task: number): void;
}

/** Listens for messages, and does tasks until the thread is ended. */
export function runHelper(listen: Listen, { open, close }: HelperWork): void {
  const owners = new Map<number, OpenedOwner>();
  let control: Control | undefined;
  let helper = 0;
  /** Messages that were taken, but for the first. */
  let taken = 0;

  const isReady = (owner: number, configuration: number) => owners.get(owner)?.configuration === configuration;

  async function take(message: HelperMessage): Promise<void> {
    if (message.type === 'join') {
      control = openControl(message.control);
      helper = message.helper;
    } else {
      await takeOwner(message);
      taken++;
    }
    // Before the thread sleeps: its owner may wait for it.
    answer('taken');
    if (control !== undefined) runTasks(control);
  }

  async function takeOwner(message: Exclude<HelperMessage, { type: 'join' }>): Promise<void> {
    const { owner } = message;
    if (message.type === 'forget') {
      owners.delete(owner);
      close(owner);
      return;
    }
    const { configuration, setup } = message;
    try {
      const runTask = await open(owner, setup);
      owners.set(owner, { configuration, runTask });
    } catch (error) {
      owners.delete(owner);
      failTask(control as Control, owner, String(error));
    }
  }

  /** Does tasks until there is a message, or the threads are told to end. */
  function runTasks(current: Control): void {
    const mayGoOn = () => !isStopped(current) && messagesFor(current, helper) === taken;
    while (mayGoOn()) {
      const job = currentJob(current);
      setBusy(current, helper, true);
      for (let claim = claimTask(current, isReady); claim !== undefined; claim = claimTask(current, isReady)) {
        const owner = ownerOf(current);
        try {
          owners.get(owner)?.runTask(taskOf(claim));
        } catch (error) {
          failTask(current, owner, String(error));
        }
        finishTask(current, claim);
      }
      setBusy(current, helper, false);
      // What is published from here on changes the number of the job, and the sleep ends before it begins.
      if (mayGoOn()) awaitNextJob(current, job);
    }
  }

  /** Messages are taken one after the other, in the order in which they came. */
  let previous = Promise.resolve();
  const answer = listen((message) => {
    previous = previous.then(() => take(message as HelperMessage));
  });
  answer('listening');
}
