/**
 * A few shared words between the user of one ring and the thread that serves it: who calls, who sleeps, who is gone. Each ring has its
 * own, so that whoever writes to it what he likes disturbs nobody else. What the user writes and what the kernel writes are a cache
 * line's length apart.
 */

/** Of the memory, bytes. */
export const DOOR_BYTES = 256

// The user's words.
/** Counts up when there is something to look at: a call, a message, entries while the other side sleeps. Notified. */
export const BELL = 0
/** Number of the latest enter, and what it asks for. */
export const CALL = 1
export const TO_SUBMIT = 2
export const ENTER_FLAGS = 3
/** The ring is worked for without being entered. */
export const ATTEND = 4
/** Completions that a blocked user waits for; 0: none. */
export const WANT = 5
/** The user sleeps, and is to be woken when there is something for him. The kernel takes it back. */
export const ASLEEP = 6

// The kernel's words.
/** Number of the latest call that was answered, an enter's or a message's. Notified. */
export const REPLY = 32
/** Of the latest enter. */
export const RESULT = 33
/** Counts up when the user is woken. Notified. */
export const WAKE = 34
/** Not 0: nobody serves the ring any more. */
export const GONE = 35
/** Counts up whenever the bell was heard. */
export const BEAT = 36

export function openDoor(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(DOOR_BYTES))
}

/** There is something to look at. */
export function ring(door: Int32Array): void {
  Atomics.add(door, BELL, 1)
  Atomics.notify(door, BELL)
}

/** The user is to look. */
export function wake(door: Int32Array): void {
  Atomics.store(door, ASLEEP, 0)
  Atomics.add(door, WAKE, 1)
  Atomics.notify(door, WAKE)
}

/** Nobody serves the ring any more: whoever waits, for whatever, is woken, on either side. */
export function close(door: Int32Array): void {
  Atomics.store(door, GONE, 1)
  Atomics.add(door, WAKE, 1)
  Atomics.notify(door, WAKE)
  Atomics.notify(door, REPLY)
  Atomics.notify(door, BELL)
}
