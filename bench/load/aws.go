package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kmsd/kmsd/client"
)

// awsTarget is kmsd as AWS's clients call it: JSON over HTTP, each request signed over its body, as the AWS SDK for Go does it.
type awsTarget struct {
	client      *http.Client
	url, region string
	key         aws.Credentials
	signer      *v4.Signer
	grpc        target // that answers are checked with
}

// newAWSTarget returns a target with one connection per caller, or with h2 with as few as the server's limit of streams allows. Close it after use.
func newAWSTarget(url string, c client.Credentials, callers int, h2 bool, grpc target) (*awsTarget, error) {
	if c.AccessKeyID == "" {
		return nil, errors.New("AWS's clients sign: the credentials must be an access key")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("the credentials have no CA")
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	return &awsTarget{
		client: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, Protocols: protocols,
			MaxIdleConns: callers, MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers, DisableCompression: true,
			WriteBufferSize: 16 << 10, // a request leaves in one piece, as those of boto3 and Node.js do
		}},
		url: url, region: c.Region, signer: v4.NewSigner(),
		key:  aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey.Expose()), SessionToken: string(c.SessionToken.Expose())},
		grpc: grpc,
	}, nil
}

func (t *awsTarget) close() { t.client.CloseIdleConnections() }

// maxAWSAnswer is the size of the largest answer that is read, in bytes.
const maxAWSAnswer = 1 << 20

// call makes one call and returns the body of its answer.
func (t *awsTarget) call(ctx context.Context, operation string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{
		"User-Agent":            {"aws-sdk-go-v2/" + aws.SDKVersion + " ua/2.1 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/kms#1.62.5 m/E,g,n,u"},
		"Accept-Encoding":       {"identity"},
		"Amz-Sdk-Invocation-Id": {invocationID()},
		"Amz-Sdk-Request":       {"attempt=1; max=3"},
		"Content-Type":          {"application/x-amz-json-1.1"},
		"X-Amz-Target":          {"TrentService." + operation},
	}
	sum := sha256.Sum256(body)
	if err := t.signer.SignHTTP(ctx, t.key, r, hex.EncodeToString(sum[:]), "kms", t.region, time.Now()); err != nil {
		return nil, err
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() // read to its end
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAWSAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP status %d: %.300q", operation, answer.StatusCode, b)
	}
	return b, nil
}

// invocationID is a random UUID, as the SDKs send one with each call: with it no two signatures are the same.
func invocationID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// awsAnswer is what the measured operations answer, as far as it is looked at.
type awsAnswer struct {
	CiphertextBlob, Plaintext []byte
	KeyMetadata               struct{ Arn string }
}

// prepare makes an exchange, after having made it once and looked at the whole answer.
func (t *awsTarget) prepare(ctx context.Context, operation string, size int) (exchange, error) {
	type members map[string]any
	call := func(name string, m members) (exchange, awsAnswer, error) {
		body, err := json.Marshal(m)
		if err != nil {
			return exchange{}, awsAnswer{}, err
		}
		first, err := t.call(ctx, name, body)
		if err != nil {
			return exchange{}, awsAnswer{}, err
		}
		var a awsAnswer
		if err := json.Unmarshal(first, &a); err != nil {
			return exchange{}, awsAnswer{}, fmt.Errorf("%w: %w", errAnswer, err)
		}
		return exchange{func(ctx context.Context) error {
			b, err := t.call(ctx, name, body)
			if err != nil {
				return err
			}
			return length("the answer", len(b), len(first))
		}, len(body), len(first)}, a, nil
	}
	var e exchange
	var a awsAnswer
	var err error
	switch operation {
	case "encrypt":
		if e, a, err = call("Encrypt", members{"KeyId": keyName, "Plaintext": plaintext(size)}); err == nil {
			_, err = t.grpc.expect(ctx, a.CiphertextBlob, plaintext(size))
		}
	case "decrypt":
		sealed, sealErr := t.grpc.checked.Encrypt(ctx, encryptRequest(size))
		if sealErr != nil {
			return exchange{}, sealErr
		}
		e, a, err = call("Decrypt", members{"KeyId": keyName, "CiphertextBlob": sealed.GetCiphertextBlob()})
		if err == nil && !bytes.Equal(a.Plaintext, plaintext(size)) {
			err = errAnswer
		}
	case "generate-data-key":
		if size != dataKeyBytes {
			return exchange{}, fmt.Errorf("data keys of %d bytes are not measured, only of %d", size, dataKeyBytes)
		}
		if e, a, err = call("GenerateDataKey", members{"KeyId": keyName, "KeySpec": "AES_256"}); err == nil {
			_, err = t.grpc.expect(ctx, a.CiphertextBlob, a.Plaintext)
		}
	case "describe-key":
		e, a, err = call("DescribeKey", members{"KeyId": keyName})
		if err == nil && !strings.HasPrefix(a.KeyMetadata.Arn, "arn:") {
			err = errAnswer
		}
	default:
		err = fmt.Errorf("%q is no operation of AWS's that is measured", operation)
	}
	if err != nil {
		return exchange{}, err
	}
	return e, nil
}
