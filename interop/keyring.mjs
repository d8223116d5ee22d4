// Keyrings for the AWS Encryption SDK: where it gets its data keys from.
//
// KmsdKeyring asks kmsd, by running kmsctl. FixedKeyring has one data key that everyone may know, for the messages
// that are kept as test data.

import { EncryptedDataKey, KeyringNode, KeyringTraceFlag } from '@aws-crypto/client-node'

const provider = 'aws-kms'

// The SDK wants a data key in memory of its own, hence new Uint8Array: a small Buffer is a part of a pool.

function generated(material, arn, plaintext, ciphertext) {
  const trace = { keyNamespace: provider, keyName: arn }
  return material
    .setUnencryptedDataKey(new Uint8Array(plaintext), { ...trace, flags: KeyringTraceFlag.WRAPPING_KEY_GENERATED_DATA_KEY })
    .addEncryptedDataKey(
      new EncryptedDataKey({ providerId: provider, providerInfo: arn, encryptedDataKey: ciphertext }),
      KeyringTraceFlag.WRAPPING_KEY_ENCRYPTED_DATA_KEY | KeyringTraceFlag.WRAPPING_KEY_SIGNED_ENC_CTX
    )
}

function decrypted(material, arn, plaintext) {
  return material.setUnencryptedDataKey(new Uint8Array(plaintext), {
    keyNamespace: provider,
    keyName: arn,
    flags: KeyringTraceFlag.WRAPPING_KEY_DECRYPTED_DATA_KEY | KeyringTraceFlag.WRAPPING_KEY_VERIFIED_ENC_CTX,
  })
}

export class KmsdKeyring extends KeyringNode {
  // kmsd: see kmsd.mjs. keyID: the key to encrypt under; the ARN of that key is the only one decrypted.
  constructor(kmsd, keyID, arn) {
    super()
    this.kmsd = kmsd
    this.keyID = keyID
    this.arn = arn
  }

  async _onEncrypt(material) {
    const k = await this.kmsd.dataKey(this.keyID, material.encryptionContext)
    return generated(material, k.key_id, Buffer.from(k.plaintext, 'base64'), Buffer.from(k.ciphertext, 'base64'))
  }

  async _onDecrypt(material, encryptedDataKeys) {
    for (const edk of encryptedDataKeys) {
      if (edk.providerId !== provider || edk.providerInfo !== this.arn) continue
      const k = await this.kmsd.decrypt(edk.encryptedDataKey, material.encryptionContext)
      if (k.key_id !== edk.providerInfo) throw new Error('decrypted by another key than the message names')
      return decrypted(material, k.key_id, Buffer.from(k.plaintext, 'base64'))
    }
    return material
  }
}

export class FixedKeyring extends KeyringNode {
  constructor(arn, plaintext, ciphertext) {
    super()
    Object.assign(this, { arn, plaintext, ciphertext })
  }

  async _onEncrypt(material) {
    return generated(material, this.arn, this.plaintext, this.ciphertext)
  }

  async _onDecrypt(material, encryptedDataKeys) {
    const fits = (edk) => edk.providerId === provider && edk.providerInfo === this.arn && this.ciphertext.equals(edk.encryptedDataKey)
    return encryptedDataKeys.some(fits) ? decrypted(material, this.arn, this.plaintext) : material
  }
}
