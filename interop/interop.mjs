// Files in both directions between kmsctl and the AWS Encryption SDK for JavaScript, over a kmsd of its own.
//
//   node interop.mjs BIN     BIN holds kmsd and kmsctl
//
// Prints a line for each case and exits with 1 if one went wrong.

import { decrypt, encrypt, pattern } from './esdk.mjs'
import { Kmsd } from './kmsd.mjs'
import { KmsdKeyring } from './keyring.mjs'

const alias = 'alias/interop'
const MiB = 1 << 20
const contexts = {
  none: {},
  'two pairs': { purpose: 'interop', tenant: '17' },
  unicode: { größe: 'grün', '🔑': '鍵', '\uffff': 'sorts before 🔑 in UTF-8', empty: '' },
}

const rows = []
async function check(what, test) {
  const start = Date.now()
  let result = 'ok'
  try {
    await test()
  } catch (err) {
    result = `WRONG: ${String(err.stderr || err.message).trim()}`
  }
  rows.push({ what, result })
  console.log(`${result === 'ok' ? 'ok   ' : 'WRONG'}  ${what}  (${Date.now() - start} ms)${result === 'ok' ? '' : `\n       ${result}`}`)
}

function same(got, want) {
  if (!got.equals(want)) throw new Error(`${got.length} bytes came back, not the ${want.length} that went in`)
}

// refused wants run to fail for the reason says, so that a program that always fails does not pass.
async function refused(run, says) {
  let err
  try {
    await run()
  } catch (e) {
    err = e
  }
  if (!err) throw new Error('accepted, want a refusal')
  const text = String(err.stderr || err.message)
  if (!says.test(text)) throw new Error(`refused for another reason than ${says}: ${text.trim()}`)
}

async function fromKmsctl(kmsd, keyring) {
  for (const [name, context] of Object.entries(contexts)) {
    for (const size of [0, 1, 1000, 256 * 1024, 5 * MiB + 17]) {
      await check(`kmsctl encrypts ${size} bytes, the SDK decrypts; context: ${name}`, async () => {
        const message = await kmsd.encryptFile(alias, pattern(size), context)
        same(await decrypt(keyring, message, context), pattern(size))
      })
    }
  }
}

async function fromSDK(kmsd, keyring) {
  for (const [name, context] of Object.entries(contexts)) {
    for (const [size, frameLength] of [[0, 4096], [1, 4096], [4096, 4096], [1000, 7], [100_000, 1000], [5 * MiB + 17, 65536], [3 * MiB, MiB]]) {
      await check(`the SDK encrypts ${size} bytes in frames of ${frameLength}, kmsctl decrypts; context: ${name}`, async () => {
        const message = await encrypt(keyring, pattern(size), { context, frameLength })
        same(await kmsd.decryptFile(message, context), pattern(size))
      })
    }
  }
}

// alterations of a message whose body has two frames of 64 bytes or more: name, what is changed, why kmsctl refuses.
const frameEnd = (message, n) => message.length - n
const alterations = [
  ['a bit of the message id', (m) => ((m[5] ^= 1), m), /altered/],
  ['a bit of the last tag', (m) => ((m[frameEnd(m, 1)] ^= 1), m), /altered/],
  ['a bit of the last frame', (m) => ((m[frameEnd(m, 20)] ^= 0x80), m), /altered/],
  ['the last byte taken away', (m) => m.subarray(0, m.length - 1), /truncated/],
  ['the second half taken away', (m) => m.subarray(0, m.length >> 1), /truncated/],
]

async function altered(kmsd, keyring) {
  const context = contexts['two pairs']
  const made = {
    kmsctl: await kmsd.encryptFile(alias, pattern(MiB), context),
    'the SDK': await encrypt(keyring, pattern(MiB), { context, frameLength: 65536 }),
  }
  for (const [maker, message] of Object.entries(made)) {
    for (const [name, change, says] of alterations) {
      const bad = change(Buffer.from(message))
      await check(`${name}, in a message of ${maker}: kmsctl refuses`, () => refused(() => kmsd.decryptFile(bad, context), says))
      await check(`${name}, in a message of ${maker}: the SDK refuses`, () => refused(() => decrypt(keyring, bad, context), /./))
    }
    const longer = Buffer.concat([message, Buffer.from([0])])
    await check(`a byte after the end of a message of ${maker}: kmsctl refuses`, () =>
      refused(() => kmsd.decryptFile(longer, context), /after the end/))
    await check(`another context than that of a message of ${maker}: kmsctl refuses`, () =>
      refused(() => kmsd.decryptFile(message, { tenant: '18' }), /context/))
    await check(`the message of ${maker} itself: both accept`, async () => {
      same(await kmsd.decryptFile(message, context), pattern(MiB))
      same(await decrypt(keyring, message, context), pattern(MiB))
    })
  }
}

const kmsd = await Kmsd.start(process.argv[2], alias)
try {
  const { key_id: arn } = await kmsd.dataKey(alias, {})
  const keyring = new KmsdKeyring(kmsd, alias, arn)
  await fromKmsctl(kmsd, keyring)
  await fromSDK(kmsd, keyring)
  await altered(kmsd, keyring)
} finally {
  await kmsd.stop()
}
const wrong = rows.filter((r) => r.result !== 'ok').length
console.log(`interop: ${rows.length} cases, ${wrong} wrong`)
process.exitCode = wrong === 0 && rows.length > 0 ? 0 : 1
