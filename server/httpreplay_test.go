package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A restart forgets which changes were sent before. One that an SDK of AWS's made is made once all the same: the id of its invocation, if that is signed, is its
// client token.
func TestHTTPReplayAfterRestart(t *testing.T) {
	d := newDoor(t, nil)
	body := []byte(`{"Description":"made once"}`)
	sum := sha256.Sum256(body)
	signed, err := http.NewRequest(http.MethodPost, d.AWSEndpoint()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	signed.ContentLength = int64(len(body))
	signed.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	signed.Header.Set("Content-Type", "application/x-amz-json-1.1")
	signed.Header.Set("Amz-Sdk-Invocation-Id", "7b1f8c8e-52a5-4f7e-9a54-1d0a8c1c2c11")
	key := aws.Credentials{AccessKeyID: d.root.AccessKeyID, SecretAccessKey: string(d.root.SecretAccessKey.Expose())}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, signed, hex.EncodeToString(sum[:]), "kms", d.root.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	// send sends the request to where kmsd listens, with the host that was signed.
	send := func() (status int, keyID string) {
		t.Helper()
		r := signed.Clone(t.Context())
		r.Host = signed.URL.Host
		if r.URL, err = url.Parse(d.AWSEndpoint() + "/"); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := d.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out struct{ KeyMetadata struct{ KeyId string } }
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out.KeyMetadata.KeyId
	}
	code, first := send()
	if code != http.StatusOK || first == "" {
		t.Fatalf("CreateKey = %d %q, want %d and a key", code, first, http.StatusOK)
	}
	if code, again := send(); code != http.StatusBadRequest || again != "" {
		t.Errorf("the same request again = %d %q, want %d", code, again, http.StatusBadRequest)
	}
	d.Restart()
	if code, again := send(); code != http.StatusOK || again != first {
		t.Errorf("the same request after a restart = %d %q, want the key that it made, %q", code, again, first)
	}
}
