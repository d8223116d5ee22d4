// The AWS Encryption SDK for JavaScript with its own KMS keyring, and kmsctl's files, in both directions.
//
//   node esdk.mjs KEY-ARN OTHER-ARN KMSCTL CREDENTIALS DIR

import { buildClient, CommitmentPolicy, AlgorithmSuiteIdentifier, KmsKeyringNode } from '@aws-crypto/client-node'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { check, equal, refused } from './cases.mjs'

const [, , arn, other, kmsctl, credentials, dir] = process.argv
const exec = promisify(execFile)
const sdk = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
const committing = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY
const keyring = new KmsKeyringNode({ generatorKeyId: arn })
const pattern = (n) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + (i >> 8)) & 0xff)

const contexts = {
  none: {},
  'two pairs': { purpose: 'clients', tenant: '17' },
  unicode: { größe: 'grün', '🔑': '鍵', empty: '' },
}
const sizes = [0, 1, 4096, 1_000_003]

// contains wants a message's context to have the pairs that were given, beside what the SDK puts there.
function contains(got, want) {
  for (const [name, value] of Object.entries(want)) equal(name, got[name], value)
}

// file runs kmsctl file on bytes, and returns what it wrote.
async function file(verb, input, context, ...flags) {
  const from = path.join(dir, `${verb}.in`)
  const to = path.join(dir, `${verb}.out`)
  await writeFile(from, input, { mode: 0o600 })
  const pairs = Object.entries(context).flatMap(([k, v]) => ['--context', `${k}=${v}`])
  await exec(kmsctl, ['--credentials', credentials, 'file', verb, from, '--out', to, '--force', ...flags, ...pairs])
  return readFile(to)
}

for (const [name, context] of Object.entries(contexts)) {
  for (const size of sizes) {
    await check(`encrypt and decrypt ${size} bytes; context: ${name}`, async () => {
      const { result } = await sdk.encrypt(keyring, pattern(size), { encryptionContext: context })
      const { plaintext, messageHeader } = await sdk.decrypt(keyring, result)
      equal('plaintext', plaintext, pattern(size))
      contains(messageHeader.encryptionContext, context)
    })
    await check(`kmsctl encrypts a file of ${size} bytes, the SDK decrypts; context: ${name}`, async () => {
      const { plaintext, messageHeader } = await sdk.decrypt(keyring, await file('encrypt', pattern(size), context, '--key', arn))
      equal('plaintext', plaintext, pattern(size))
      contains(messageHeader.encryptionContext, context)
    })
    await check(`the SDK encrypts ${size} bytes, kmsctl decrypts the file; context: ${name}`, async () => {
      const { result } = await sdk.encrypt(keyring, pattern(size), { encryptionContext: context, suiteId: committing })
      equal('plaintext', await file('decrypt', result, context), pattern(size))
    })
  }
}

await check('a message for two keys opens with either', async () => {
  const both = new KmsKeyringNode({ generatorKeyId: arn, keyIds: [other] })
  const { result } = await sdk.encrypt(both, pattern(100))
  for (const key of [arn, other]) {
    const { plaintext } = await sdk.decrypt(new KmsKeyringNode({ keyIds: [key] }), result)
    equal('plaintext', plaintext, pattern(100))
  }
})

await check('a keyring that discovers the key', async () => {
  const { result } = await sdk.encrypt(keyring, pattern(100))
  const { plaintext } = await sdk.decrypt(new KmsKeyringNode({ discovery: true }), result)
  equal('plaintext', plaintext, pattern(100))
})

await check('a keyring of another key is refused', async () => {
  const { result } = await sdk.encrypt(keyring, pattern(100))
  await refused(() => sdk.decrypt(new KmsKeyringNode({ keyIds: [other] }), result))
})

await check('an altered message is refused', async () => {
  const { result } = await sdk.encrypt(keyring, pattern(100))
  for (const at of [5, result.length >> 1, result.length - 1]) {
    const altered = Buffer.from(result)
    altered[at] ^= 1
    await refused(() => sdk.decrypt(keyring, altered))
  }
})
