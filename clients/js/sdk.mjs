// The AWS SDK for JavaScript, client-kms. It finds kmsd and the credentials in the environment.

import * as kms from '@aws-sdk/client-kms'
import { fromTemporaryCredentials, fromTokenFile } from '@aws-sdk/credential-providers'
import { createVerify, createPublicKey } from 'node:crypto'
import { check, equal, refused } from './cases.mjs'

const client = new kms.KMSClient({})
const send = (command) => client.send(command)
const { KeyMetadata: key } = await send(new kms.CreateKeyCommand({ Description: 'by JavaScript', Tags: [{ TagKey: 'a', TagValue: 'ü' }] }))
const about = { purpose: 'test', größe: '🔑' }
const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => (i * 31) & 0xff)

await check('CreateKey and DescribeKey', async () => {
  const { KeyMetadata: m } = await send(new kms.DescribeKeyCommand({ KeyId: key.Arn }))
  equal('Description', m.Description, 'by JavaScript')
  equal('KeyState', m.KeyState, kms.KeyState.Enabled)
  equal('CreationDate', m.CreationDate.getTime(), key.CreationDate.getTime())
  if (Math.abs(Date.now() - m.CreationDate) > 60_000) throw new Error(`CreationDate ${m.CreationDate}`)
})

await check('Encrypt and Decrypt, with encryption context', async () => {
  for (const n of [1, 4096]) {
    const sealed = await send(new kms.EncryptCommand({ KeyId: key.KeyId, Plaintext: bytes(n), EncryptionContext: about }))
    equal('KeyId', sealed.KeyId, key.Arn)
    const opened = await send(new kms.DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: about }))
    equal('Plaintext', opened.Plaintext, bytes(n))
    equal('KeyMaterialId', opened.KeyMaterialId, key.CurrentKeyMaterialId)
    const again = await send(new kms.ReEncryptCommand({
      CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: about, DestinationKeyId: key.KeyId, DestinationEncryptionContext: {},
    }))
    equal('ReEncrypt', (await send(new kms.DecryptCommand({ CiphertextBlob: again.CiphertextBlob }))).Plaintext, bytes(n))
  }
})

await check('data keys and data key pairs', async () => {
  const made = await send(new kms.GenerateDataKeyCommand({ KeyId: key.KeyId, KeySpec: kms.DataKeySpec.AES_256 }))
  equal('length', made.Plaintext.length, 32)
  equal('Plaintext', (await send(new kms.DecryptCommand({ CiphertextBlob: made.CiphertextBlob }))).Plaintext, made.Plaintext)
  await send(new kms.GenerateDataKeyWithoutPlaintextCommand({ KeyId: key.KeyId, NumberOfBytes: 64 }))
  const pair = await send(new kms.GenerateDataKeyPairCommand({ KeyId: key.KeyId, KeyPairSpec: 'ECC_NIST_P256' }))
  equal('private key', (await send(new kms.DecryptCommand({ CiphertextBlob: pair.PrivateKeyCiphertextBlob }))).Plaintext, pair.PrivateKeyPlaintext)
  equal('GenerateRandom', (await send(new kms.GenerateRandomCommand({ NumberOfBytes: 17 }))).Plaintext.length, 17)
})

await check('Sign, Verify and GetPublicKey', async () => {
  const { KeyMetadata: signer } = await send(new kms.CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }))
  const Message = Buffer.from('signed')
  const signed = await send(new kms.SignCommand({ KeyId: signer.KeyId, Message, SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256' }))
  const { PublicKey } = await send(new kms.GetPublicKeyCommand({ KeyId: signer.KeyId }))
  const publicKey = createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' })
  equal('by node', createVerify('sha256').update(Message).verify(publicKey, signed.Signature), true)
  const verified = await send(new kms.VerifyCommand({ KeyId: signer.KeyId, Message, Signature: signed.Signature, SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256' }))
  equal('SignatureValid', verified.SignatureValid, true)
  const err = await refused(() => send(new kms.VerifyCommand({
    KeyId: signer.KeyId, Message: Buffer.from('another'), Signature: signed.Signature, SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
  })))
  if (!(err instanceof kms.KMSInvalidSignatureException)) throw err
})

await check('GenerateMac and VerifyMac', async () => {
  const { KeyMetadata: mac } = await send(new kms.CreateKeyCommand({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }))
  const made = await send(new kms.GenerateMacCommand({ KeyId: mac.KeyId, Message: bytes(10), MacAlgorithm: 'HMAC_SHA_256' }))
  const verified = await send(new kms.VerifyMacCommand({ KeyId: mac.KeyId, Message: bytes(10), Mac: made.Mac, MacAlgorithm: 'HMAC_SHA_256' }))
  equal('MacValid', verified.MacValid, true)
})

await check('a paginator', async () => {
  const seen = new Set()
  let pages = 0
  for await (const page of kms.paginateListKeys({ client, pageSize: 2 }, {})) {
    pages++
    for (const k of page.Keys) seen.add(k.KeyId)
  }
  if (pages < 2 || !seen.has(key.KeyId)) throw new Error(`${seen.size} keys on ${pages} pages`)
})

const cases = {
  NotFoundException: () => new kms.DescribeKeyCommand({ KeyId: 'alias/nothing' }),
  InvalidCiphertextException: () => new kms.DecryptCommand({ CiphertextBlob: bytes(200) }),
  InvalidKeyUsageException: () => new kms.SignCommand({ KeyId: key.KeyId, Message: bytes(1), SigningAlgorithm: 'ECDSA_SHA_256' }),
  DryRunOperationException: () => new kms.EncryptCommand({ KeyId: key.KeyId, Plaintext: bytes(1), DryRun: true }),
  UnsupportedOperationException: () => new kms.CreateKeyCommand({ MultiRegion: true }),
  MalformedPolicyDocumentException: () => new kms.PutKeyPolicyCommand({ KeyId: key.KeyId, Policy: '{"Version":"2012-10-17","Statement":[{}]}' }),
}
for (const [name, command] of Object.entries(cases)) {
  await check(`${name} is an instance of its class`, async () => {
    const err = await refused(() => send(command()))
    equal('name', err.name, name)
    if (!(err instanceof kms[name])) throw new Error(`${name} is a ${err.constructor.name}`)
    if (!err.$metadata.requestId) throw new Error('the error has no request id')
  })
}

await check('ValidationException by name', async () => {
  const err = await refused(() => send(new kms.EncryptCommand({ KeyId: key.KeyId, Plaintext: bytes(4097) })))
  equal('name', err.name, 'ValidationException')
})

await check('a wrong secret is InvalidSignatureException', async () => {
  const wrong = new kms.KMSClient({ credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: 'wrong' } })
  equal('name', (await refused(() => wrong.send(new kms.ListKeysCommand({})))).name, 'InvalidSignatureException')
})

await check('fromTemporaryCredentials assumes a role', async () => {
  const assumed = new kms.KMSClient({
    credentials: fromTemporaryCredentials({
      params: { RoleArn: process.env.TEST_ROLE_ARN, RoleSessionName: 'js' },
      masterCredentials: { accessKeyId: process.env.TEST_USER_KEY, secretAccessKey: process.env.TEST_USER_SECRET },
    }),
  })
  await assumed.send(new kms.ListKeysCommand({}))
})

await check('fromTokenFile assumes a role with a web identity', async () => {
  const assumed = new kms.KMSClient({
    credentials: fromTokenFile({ webIdentityTokenFile: process.env.TEST_TOKEN_FILE, roleArn: process.env.TEST_WEB_ROLE_ARN, roleSessionName: 'js' }),
  })
  await assumed.send(new kms.ListKeysCommand({}))
})
