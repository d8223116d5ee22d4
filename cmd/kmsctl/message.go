package main

import (
	"bytes"
	"context"
	stdcrypto "crypto"
	_ "crypto/sha256" // registers the hashes of the algorithms
	"crypto/sha3"
	_ "crypto/sha512" // likewise
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// messageFlags say what is signed: they are those of sign and verify.
type messageFlags struct {
	key, in         string
	algorithm, kind enumFlag
	tokens          []string
}

func (f *messageFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.key, "key", "", "the `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&f.in, "in", standard, what)
	f.algorithm.add(cmd, signingAlgorithms, "algorithm", "`ALGORITHM`, such as RSASSA_PSS_SHA_256 (default: the only one of the key)")
	f.kind.add(cmd, messageTypes, "message-type", "`TYPE` of the input: RAW, the message; DIGEST, its hash; EXTERNAL_MU, mu of FIPS 204 (default: the message, which is hashed here if it is long)")
	addGrantTokens(cmd, &f.tokens)
}

// chosen returns the algorithm that is given, or else the only one that the key signs with.
func (f *messageFlags) chosen(ctx context.Context, c *client.Client) (kmsv1.SigningAlgorithmSpec, error) {
	n, err := f.algorithm.parse()
	if err != nil || n != 0 {
		return kmsv1.SigningAlgorithmSpec(n), err
	}
	out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: f.key, GrantTokens: f.tokens}.Build())
	if client.Is(err, "AccessDeniedException") {
		return 0, hintAt(usageError{fmt.Errorf("--algorithm is missing, and you may not look which one the key has (%w)", err)}, "--algorithm")
	}
	if err != nil {
		return 0, err
	}
	all := out.GetKeyMetadata().GetSigningAlgorithms()
	switch len(all) {
	case 0:
		return 0, usage("%s does not sign: its usage is %s", f.key, trimEnum(out.GetKeyMetadata().GetKeyUsage(), keyUsages.prefix))
	case 1:
		return all[0], nil
	}
	return 0, usage("--algorithm is missing: the key has %s", orOf(namesOf(signingAlgorithms.prefix, all)))
}

// message reads the input and returns what is sent of it: the input itself if its type is given, or if it is the message and short; else its hash, or mu.
func (a *app) message(ctx context.Context, c *client.Client, f *messageFlags, algorithm kmsv1.SigningAlgorithmSpec) ([]byte, kmsv1.MessageType, error) {
	kind, err := f.kind.parse()
	if err != nil {
		return nil, 0, err
	}
	if kind != 0 {
		b, err := a.readOr(ctx, f.in, crypto.MaxMessage, "without --message-type a file of any size is taken, and hashed here")
		return b, kmsv1.MessageType(kind), err
	}
	r, name, err := a.open(ctx, f.in)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close() // only read
	start, err := io.ReadAll(io.LimitReader(r, crypto.MaxMessage+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	prehashed := algorithm == kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ED25519_PH_SHA_512
	switch {
	case len(start) == 0:
		return nil, 0, fmt.Errorf("%s is empty", name)
	case len(start) <= crypto.MaxMessage && !prehashed:
		return start, kmsv1.MessageType_MESSAGE_TYPE_RAW, nil
	}
	whole := io.MultiReader(bytes.NewReader(start), r)
	switch algorithm {
	case kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ED25519_SHA_512:
		return nil, 0, hint(fmt.Errorf("%s has more than %d bytes, which Ed25519 cannot sign by a hash", name, crypto.MaxMessage),
			"--algorithm ED25519_PH_SHA_512 signs a hash of it; who verifies must know that")
	case kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ML_DSA_SHAKE_256:
		mu, err := f.mu(ctx, c, whole)
		return mu, kmsv1.MessageType_MESSAGE_TYPE_EXTERNAL_MU, err
	}
	h := hashOf(algorithm).New()
	if _, err := io.Copy(h, whole); err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	return h.Sum(nil), kmsv1.MessageType_MESSAGE_TYPE_DIGEST, nil
}

// hashOf returns the hash that ends the name of an algorithm.
func hashOf(a kmsv1.SigningAlgorithmSpec) stdcrypto.Hash {
	switch name := a.String(); {
	case strings.HasSuffix(name, "_SHA_256"):
		return stdcrypto.SHA256
	case strings.HasSuffix(name, "_SHA_384"):
		return stdcrypto.SHA384
	}
	return stdcrypto.SHA512
}

// mu returns the representative of a message under the ML-DSA key (FIPS 204, algorithm 7, line 6, with an empty context): the public key is read for it.
func (f *messageFlags) mu(ctx context.Context, c *client.Client, message io.Reader) ([]byte, error) {
	out, err := c.Keys().GetPublicKey(ctx, kmsv1.GetPublicKeyRequest_builder{KeyId: f.key, GrantTokens: f.tokens}.Build())
	if err != nil {
		return nil, hintAt(fmt.Errorf("reading the public key, for the hash of a long message: %w", err), "a message of up to 4096 bytes needs no kms:GetPublicKey")
	}
	mu, err := muOf(out.GetPublicKey(), message)
	if err != nil {
		return nil, fmt.Errorf("hashing the message for %s: %w", f.key, err)
	}
	return mu, nil
}

// muOf is mu for a SubjectPublicKeyInfo in DER.
func muOf(public []byte, message io.Reader) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(public, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("its public key is none")
	}
	h := sha3.NewSHAKE256()
	h.Write(sha3.SumSHAKE256(info.Key.Bytes, 64))
	h.Write([]byte{0, 0}) // no prehash, a context of 0 bytes
	if _, err := io.Copy(h, message); err != nil {
		return nil, err
	}
	mu := make([]byte, crypto.MuSize)
	h.Read(mu)
	return mu, nil
}

// publicDER returns the DER of a public key in PEM, or b if it is not PEM.
func publicDER(b []byte) ([]byte, error) {
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		return b, nil
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("the PEM file holds no public key")
	}
	return block.Bytes, nil
}
