// The AWS Encryption SDK, held to the one algorithm suite that kmsd writes.

import { AlgorithmSuiteIdentifier, buildClient, CommitmentPolicy } from '@aws-crypto/client-node'

const client = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

export async function encrypt(keyring, plaintext, { context = {}, frameLength } = {}) {
  const { result } = await client.encrypt(keyring, plaintext, {
    suiteId: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
    encryptionContext: context,
    frameLength,
  })
  return result
}

// decrypt returns the plaintext, and throws if the message does not have exactly this context and suite.
export async function decrypt(keyring, message, context = {}) {
  const { plaintext, messageHeader } = await client.decrypt(keyring, message)
  if (messageHeader.suiteId !== 0x0478) throw new Error(`suite 0x${messageHeader.suiteId.toString(16)}`)
  const got = Object.entries(messageHeader.encryptionContext).sort()
  const want = Object.entries(context).sort()
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error('another encryption context')
  return plaintext
}

// pattern is n bytes that are not all alike: byte i is i*31 + (i>>8), modulo 256.
export function pattern(n) {
  const b = Buffer.alloc(n)
  for (let i = 0; i < n; i++) b[i] = (i * 31 + (i >> 8)) & 0xff
  return b
}
