"""A second implementation of kmsd's cryptography, for the differential tests: the Python package cryptography, which
is OpenSSL 4 underneath. It reads calls, a line each, and answers each with a line. Fields are separated by spaces;
bytes are hexadecimal, "-" if there are none.

    load ID SPEC PRIVATE PUBLIC   a key: PKCS#8 (raw bytes for HMAC, AES and the seed of X-Wing) and SubjectPublicKeyInfo
    OP ALGORITHM ID BYTES...      an operation

A space at the end of a line ends a batch: its answers are sent. Answers are "ok BYTES...", "refused", and "error TEXT" for what should not happen.
"""

import functools
import hashlib
import sys

try:
    import cryptography
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.backends.openssl import backend
    from cryptography.hazmat.primitives import hashes, hmac, hpke, keywrap, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, padding, x25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as e:
    print("missing", e, flush=True)
    sys.exit(0)

HASHES = {"1": hashes.SHA1(), "224": hashes.SHA224(), "256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RAW = ("HMAC", "AES")
X_WING = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Refused(Exception):
    pass


class Key:
    def __init__(self, spec, private, public):
        if spec.startswith(RAW):
            self.private = self.public = private
        elif spec == "MLKEM768_X25519":
            # draft-connolly-cfrg-xwing-kem, expandDecapsulationKey
            seed = hashlib.shake_256(private).digest(96)
            self.private = hpke.MLKEM768X25519PrivateKey(
                mlkem.MLKEM768PrivateKey.from_seed_bytes(seed[:64]), x25519.X25519PrivateKey.from_private_bytes(seed[64:]))
            self.public = hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(public[-1216:-32]), x25519.X25519PublicKey.from_public_bytes(public[-32:]))
        else:
            self.private = serialization.load_der_private_key(private, None)
            self.public = serialization.load_der_public_key(public)
            der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            if self.private.public_key().public_bytes(der, spki) != public:
                raise ValueError("the public key is not that of the private key, or is encoded otherwise")


@functools.cache
def signing(algorithm):
    """What sign and verify take beyond message and signature."""
    h = HASHES.get(algorithm.rsplit("_", 1)[-1])
    if algorithm.startswith("RSASSA_PSS"):
        return padding.PSS(padding.MGF1(h), h.digest_size), h
    if algorithm.startswith("RSASSA_PKCS1"):
        return padding.PKCS1v15(), h
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(h),)
    return ()


@functools.cache
def oaep(algorithm):
    h = HASHES[algorithm.rsplit("_", 1)[-1]]
    return padding.OAEP(padding.MGF1(h), h, None)


def sign(k, algorithm, message):
    return [k.private.sign(message, *signing(algorithm))]


def verify(k, algorithm, message, signature):
    try:
        k.public.verify(signature, message, *signing(algorithm))
    except InvalidSignature:
        raise Refused from None
    return []


def mac(k, algorithm, message):
    h = hmac.HMAC(k.private, HASHES[algorithm.rsplit("_", 1)[-1]])
    h.update(message)
    return [h.finalize()]


def encrypt(k, algorithm, plaintext):
    return [k.public.encrypt(plaintext, oaep(algorithm))]


def decrypt(k, algorithm, ciphertext):
    try:
        return [k.private.decrypt(ciphertext, oaep(algorithm))]
    except ValueError:
        raise Refused from None


def derive(k, _, peer):
    try:
        public = serialization.load_der_public_key(peer)
    except ValueError:
        raise Refused from None
    return [k.private.exchange(ec.ECDH(), public)]


def encapsulate(k, _):
    secret, ciphertext = k.public.encapsulate()
    return [ciphertext, secret]


def decapsulate(k, _, ciphertext):
    try:
        return [k.private.decapsulate(ciphertext)]
    except ValueError:
        raise Refused from None


def seal(k, _, aad, plaintext, nonce):
    return [nonce + AESGCM(k.private).encrypt(nonce, plaintext, aad)]


def open_(k, _, aad, sealed):
    if len(sealed) < 28:
        raise Refused
    try:
        return [AESGCM(k.private).decrypt(sealed[:12], sealed[12:], aad)]
    except InvalidTag:
        raise Refused from None


def wrap(k, algorithm, info, material, kek):
    if algorithm == "AES_KWP":
        return [keywrap.aes_key_wrap_with_padding(k.private, material)]
    if algorithm.startswith("HPKE"):
        return [X_WING.encrypt(material, k.public, info)]
    if algorithm.startswith("RSAES"):
        return encrypt(k, algorithm, material)
    return [k.public.encrypt(kek, oaep(algorithm)) + keywrap.aes_key_wrap_with_padding(kek, material)]


def unwrap(k, algorithm, info, wrapped):
    try:
        if algorithm == "AES_KWP":
            return [keywrap.aes_key_unwrap_with_padding(k.private, wrapped)]
        if algorithm.startswith("HPKE"):
            return [X_WING.decrypt(wrapped, k.private, info)]
        if algorithm.startswith("RSAES"):
            return decrypt(k, algorithm, wrapped)
        n = k.private.key_size // 8
        return [keywrap.aes_key_unwrap_with_padding(k.private.decrypt(wrapped[:n], oaep(algorithm)), wrapped[n:])]
    except (ValueError, keywrap.InvalidUnwrap, InvalidTag):
        raise Refused from None


OPS = {f.__name__.rstrip("_"): f for f in
       (sign, verify, mac, encrypt, decrypt, derive, encapsulate, decapsulate, seal, open_, wrap, unwrap)}


def parse(field):
    return b"" if field == "-" else bytes.fromhex(field)


def main():
    keys = {}
    print(f"ready Python {sys.version.split()[0]}, cryptography {cryptography.__version__}, {backend.openssl_version_text()}", flush=True)
    for line in sys.stdin:
        op, *fields = line.split()
        try:
            if op == "load":
                keys[fields[0]] = Key(fields[1], parse(fields[2]), parse(fields[3]))
                out = []
            else:
                out = OPS[op](keys[fields[1]], fields[0], *map(parse, fields[2:]))
            print("ok", *(b.hex() or "-" for b in out))
        except Refused:
            print("refused")
        except Exception as e:
            print("error", type(e).__name__, e)
        if line.endswith(" \n"):
            sys.stdout.flush()


if __name__ == "__main__":
    main()
