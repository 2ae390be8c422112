/** A text with the passwords of addresses left out: `postgres://me:…@host/db?password=…`. For everything that is shown or kept. */
export const hidePasswords = (text: string): string =>
  text.replace(/(\/\/[^\s/:@]*):\S*@/g, '$1:…@').replace(/([?&](?:ssl)?password=)[^\s&'"]*/gi, '$1…')
