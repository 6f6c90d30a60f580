/** A scenario whose set-up or steps nothing translates. */
export class NoTranslation extends Error {}
