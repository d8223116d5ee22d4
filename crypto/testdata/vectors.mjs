// Makes vectors.json, the test vectors of the ciphertext format, from docs/formats/ciphertext.md and nothing else:
// an implementation independent of the Go code, on the cryptography of Node.
//
//     node vectors.mjs > vectors.json
//
// Node 18 or later. The output is always the same.
import { createCipheriv, createHash, createHmac } from 'node:crypto';

const utf8 = s => Buffer.from(s, 'utf8');
const hex = s => Buffer.from(s, 'hex');
const be32 = n => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
const hmac = (key, ...parts) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();
const sha256 = b => createHash('sha256').update(b).digest('hex');

// A byte string for a name: the same each time, different for each name.
const named = (name, n) => {
  let out = Buffer.alloc(0);
  for (let i = 0; out.length < n; i++) out = Buffer.concat([out, createHash('sha256').update(`${name}/${i}`).digest()]);
  return out.subarray(0, n);
};

// NIST SP 800-108r1, counter mode, HMAC-SHA256, counters and lengths of 32 bits.
const derive = (key, label, context, n) => {
  let out = Buffer.alloc(0);
  for (let i = 1; out.length < n; i++)
    out = Buffer.concat([out, hmac(key, be32(i), utf8(label), Buffer.from([0]), context, be32(8 * n))]);
  return out.subarray(0, n);
};

// An encryption context in canonical form. Pairs are given as a list, since the order must not matter.
const canonical = pairs => {
  const sorted = pairs.map(([k, v]) => [utf8(k), utf8(v)]).sort((a, b) => Buffer.compare(a[0], b[0]));
  return Buffer.concat([be32(sorted.length), ...sorted.flatMap(([k, v]) => [be32(k.length), k, be32(v.length), v])]);
};

const gcm = (key, iv, aad, plaintext) => {
  const c = createCipheriv('aes-256-gcm', key, iv);
  c.setAAD(aad);
  return Buffer.concat([c.update(plaintext), c.final(), c.getAuthTag()]);
};

const encrypt = ({ key_id, material_id, secret, salt, iv, pairs, plaintext }) => {
  const id = hex(key_id.replaceAll('-', '')), short = hex(material_id).subarray(0, 16), context = canonical(pairs);
  const tag = hmac(derive(secret, 'kmsd/ctx/v1', Buffer.concat([id, short]), 32), salt, context).subarray(0, 16);
  const head = Buffer.concat([Buffer.from([1, 1]), id, short, salt, tag]);
  const derived = derive(secret, 'kmsd/enc/v1', head, 64);
  const header = Buffer.concat([head, derived.subarray(32)]);
  return Buffer.concat([header, iv, gcm(derived.subarray(0, 32), iv, Buffer.concat([header, context]), plaintext)]);
};

const uuid = b => {
  const h = b.toString('hex');
  return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join('-');
};
const uuidv4 = name => {
  const b = Buffer.from(named(name, 16));
  b[6] = b[6] & 0x0f | 0x40;
  b[8] = b[8] & 0x3f | 0x80;
  return uuid(b);
};

// [salt, iv] of the vectors, in order: what Go's testing/cryptotest.SetGlobalRandom gives for the seeds 1, 2, 3 and
// so on, so that the Go tests can encrypt with them. They are arbitrary otherwise.
const seeds = [
  ['6ae6783f4fbde91b6eb88b73a48ed247', 'dbe5882e2579683432c1bfc5'],
  ['1490066b778935b0bb4925e3db151c5b', '424ad7c63bdc307ad11f7e87'],
  ['c6c150a912520b1c7c69c20d48c464e3', '9aad038be1ff2905636365f4'],
  ['72a9f983e0dedf57c00e35875f9b321c', 'fb52d9df8407c99f8ff3f0af'],
  ['1bc651866373042d20e8498387e2a5e6', 'e388bca201b40935d7f3979b'],
  ['08290403be1edbf5ed8b15aec7fc5440', 'b20acaf32006c776870d4a08'],
  ['0e42d4cae8864908e0b8c7520e360aa4', '04427c9053d9a667be544c14'],
  ['8dbbcefe09759150e19e652dafa95c07', '840d1d1ab7d75c79da9265a6'],
  ['eebf03c8ccdba456230a0c00bc1f8e5d', '5e98623f078ee30198e81e68'],
  ['a21a78bb75790bef016bd2504bf1b06f', '3c0aee86ee9dc23918653d9c'],
  ['dd8a762e4cdbf8256bfa9ce01b108cda', '0ae3eb1f52c6742e3a7328cc'],
  ['4b838eb17eb79aa3aedfd66cef686a56', '829976c75427e8f95cba44ed'],
  ['3cecd7aa95f6d4d0d33241f9ffbb855a', '50268ccf15fce70d6db09f31'],
  ['1c0b49a6bcf191624440d8d0fccb7914', '6cf79e2eeab2f03cc6a1a3e5'],
  ['25bb3299d10d226ca83cc05e8f47f37a', 'bcc77dc4ef8ff9bab35e7fcb'],
  ['7989c155f15ebdb57e2363c0d55e6d0b', 'd35a15422672a0a46a4117b6'],
  ['ce98b79ad1d296ea4f2591f86db2eb40', '79f3413b96dbcf069879c0ea'],
  ['9a48e51136b7d11a3b9e87a2f4672f72', '429666de7d11c9d3912e2f54'],
  ['426dd9681931ee0860a8d84e634bd4ce', '5c79a951d2fcce2d02a451dc'],
  ['097005b035eb440d5bfe92ed9ebb0878', '8170b7d1e629d9b83085de73'],
  ['ae765992c382e22b278919141bb831f0', '97763b59b83fe8ad159f172b'],
  ['db89abafac95fb9644e466bd7303ed89', '4ad8ae1056d41fa3ad52f8ca'],
  ['8019c0d3187ea0cc831d2dac2d8a8ea7', '337444e78eb47f293934b2e6'],
  ['34bc9a82aa9c9c490192c27ec009c5b8', 'a3d3abedf4e641f57dd55c79'],
  ['16113ff4de90c85e5fc1347722a4e853', '114071af5fd01b60d2f3f8db'],
  ['d83645ccf26ecc453928bc2624b8eb09', 'd251c7cd23af56a790df1233'],
];

// Plaintexts: the byte at i is (7*i + 3) mod 256.
const ramp = n => Buffer.from(Array.from({ length: n }, (_, i) => (7 * i + 3) % 256));

const many = Array.from({ length: 64 }, (_, i) => [`key-${i * 37 % 64}`, `value ${i}`]);
const messages = [
  ['one byte, no context', 1, []],
  ['two bytes, no context', 2, []],
  ['15 bytes, no context', 15, []],
  ['one AES block, no context', 16, []],
  ['17 bytes, no context', 17, []],
  ['a data key of 32 bytes, one pair', 32, [['purpose', 'backup']]],
  ['a data key of 64 bytes, two pairs', 64, [['tenant', '42'], ['purpose', 'backup']]],
  ['the same two pairs in the other order', 64, [['purpose', 'backup'], ['tenant', '42']]],
  ['an empty value', 32, [['purpose', '']]],
  ['a pair that reads like another without lengths', 32, [['a', 'bc']]],
  ['and the other', 32, [['ab', 'c']]],
  ['keys where one is the start of the other', 33, [['ab', '1'], ['a', '2'], ['abc', '3']]],
  ['keys that differ in case', 33, [['Key', '1'], ['key', '2'], ['KEY', '3']]],
  ['umlauts and Han', 100, [['Schlüssel', 'äöü'], ['密钥', '值']]],
  ['keys that UTF-16 sorts otherwise than UTF-8', 100, [['\u{1F511}', 'key'], ['\uFB00', 'ligature'], ['z', 'ascii']]],
  ['a composed and a decomposed é', 100, [['\u00e9', '1'], ['e\u0301', '2']]],
  ['control characters, quotes and a zero byte', 100, [['\n"\\', '\u0000\u007f']]],
  ['64 pairs', 255, many],
  ['a key of 256 bytes', 256, [['k'.repeat(256), 'v']]],
  ['a context of 8192 bytes', 257, [['k', 'v'.repeat(8192 - 4 - 4 - 1 - 4)]]],
  ['1 KiB', 1024, [['arn', 'arn:aws:s3:::bucket/object']]],
  ['4095 bytes', 4095, []],
  ['4096 bytes', 4096, [['purpose', 'backup']]],
  ['4097 bytes', 4097, []],
  ['65535 bytes', 65535, []],
  ['65536 bytes', 65536, [['purpose', 'backup'], ['tenant', '42']]],
];

const input = (name, i, n, pairs) => ({
  key_id: uuidv4(`key ${i % 5}`), material_id: named(`material id ${i}`, 32).toString('hex'),
  secret: named(`material ${i}`, 32), salt: hex(seeds[i][0]), iv: hex(seeds[i][1]), pairs, plaintext: ramp(n),
});
const common = (name, m) => ({ name, key_id: m.key_id, material_id: m.material_id, secret: m.secret.toString('hex'), context: m.pairs });

const vectors = messages.map(([name, n, pairs], i) => {
  const m = input(name, i, n, pairs), blob = encrypt(m);
  return {
    ...common(name, m), plaintext_size: n, seed: i + 1, salt: m.salt.toString('hex'), iv: m.iv.toString('hex'),
    blob_sha256: sha256(blob), ...(n <= 300 ? { blob: blob.toString('hex') } : {}),
  };
});

// Blobs that must be refused, each made from the vector "a data key of 32 bytes, one pair".
const base = input('', 5, 32, [['purpose', 'backup']]);
const good = encrypt(base);
const flip = i => { const b = Buffer.from(good); b[i < 0 ? b.length + i : i] ^= 1; return b; };
const put = (i, bytes) => { const b = Buffer.from(good); bytes.copy(b, i); return b; };
const other = { ...base, secret: named('other material', 32) };
const refused = [
  ['nothing', Buffer.alloc(0), 'malformed'],
  ['one byte', good.subarray(0, 1), 'malformed'],
  ['no ciphertext', Buffer.concat([good.subarray(0, 110), good.subarray(good.length - 16)]), 'malformed'],
  ['version 0', put(0, Buffer.from([0])), 'malformed'],
  ['version 2', put(0, Buffer.from([2])), 'malformed'],
  ['suite 0', put(1, Buffer.from([0])), 'malformed'],
  ['suite 2', put(1, Buffer.from([2])), 'malformed'],
  ['another key id', flip(2), 'wrong_key'],
  ['another material id', flip(33), 'wrong_key'],
  ['other material under the same ids', encrypt(other), 'wrong_commitment'],
  ['salt altered', flip(34), 'wrong_commitment'],
  ['context tag altered', flip(50), 'wrong_commitment'],
  ['commitment altered', flip(66), 'wrong_commitment'],
  ['commitment of other material', put(66, encrypt(other).subarray(66, 98)), 'wrong_commitment'],
  ['made with no context', encrypt({ ...base, pairs: [] }), 'wrong_context'],
  ['made with a key in another case', encrypt({ ...base, pairs: [['Purpose', 'backup']] }), 'wrong_context'],
  ['made with the pair cut elsewhere', encrypt({ ...base, pairs: [['purposeb', 'ackup']] }), 'wrong_context'],
  ['made with one pair more', encrypt({ ...base, pairs: [['purpose', 'backup'], ['tenant', '42']] }), 'wrong_context'],
  ['iv altered', flip(98), 'tampered'],
  ['ciphertext altered', flip(110), 'tampered'],
  ['tag altered', flip(-1), 'tampered'],
  ['cut by one byte', good.subarray(0, good.length - 1), 'tampered'],
  ['one byte more', Buffer.concat([good, Buffer.from([0])]), 'tampered'],
].map(([name, blob, reason]) => ({ ...common(name, base), blob: blob.toString('hex'), reason }));

const contexts = messages.map(([name, , pairs]) => {
  const c = canonical(pairs);
  return { name, context: pairs, canonical_sha256: sha256(c), ...(c.length <= 300 ? { canonical: c.toString('hex') } : {}) };
}).filter((v, i, all) => all.findIndex(o => JSON.stringify(o.context) === JSON.stringify(v.context)) === i);

const derivations = [
  ['32 bytes', 'kmsd/ctx/v1', 32, 32], ['64 bytes', 'kmsd/enc/v1', 66, 64], ['one byte', 'label', 0, 1],
  ['31 bytes', 'label', 1, 31], ['33 bytes', 'label', 7, 33], ['empty label', '', 16, 32], ['1024 bytes', 'label', 300, 1024],
].map(([name, label, contextSize, n], i) => {
  const key = named(`derivation key ${i}`, i === 3 ? 16 : i === 4 ? 100 : 32), context = named(`derivation context ${i}`, contextSize);
  return { name, key: key.toString('hex'), label, context: context.toString('hex'), out: derive(key, label, context, n).toString('hex') };
});

const seals = [['an empty record', 0, 0], ['an empty record with associated data', 0, 40], ['a record', 100, 40]].map(([name, n, a], i) => {
  const key = named(`seal key ${i}`, 32), nonce = named(`seal nonce ${i}`, 12), aad = named(`seal aad ${i}`, a);
  return {
    name, key: key.toString('hex'), aad: aad.toString('hex'), plaintext_size: n,
    sealed: Buffer.concat([nonce, gcm(key, nonce, aad, ramp(n))]).toString('hex'),
  };
});

process.stdout.write(JSON.stringify({ vectors, refused, contexts, derivations, seals }, null, 1) + '\n');
