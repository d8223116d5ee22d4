// Cases, each told as a line of JSON to the test that runs this program.

// check runs a case.
export async function check(name, test) {
  let error = null
  try {
    await test()
  } catch (err) {
    error = String(err.stack ?? err)
  }
  console.log(JSON.stringify({ case: name, error }))
}

// equal wants two values to be alike, bytes or what JSON can say.
export function equal(what, got, want) {
  const text = (v) => (v instanceof Uint8Array ? Buffer.from(v).toString('base64') : JSON.stringify(v))
  if (text(got) !== text(want)) throw new Error(`${what} = ${text(got).slice(0, 200)}, want ${text(want).slice(0, 200)}`)
}

// refused wants a call to fail, and returns its error.
export async function refused(call) {
  try {
    await call()
  } catch (err) {
    return err
  }
  throw new Error('accepted, want an error')
}
