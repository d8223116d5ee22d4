package aws_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/client"
)

// sign signs a request as a caller, by Signature Version 4 with the headers that AWS's SDKs sign. mode makes something wrong with it.
func (g *golden) sign(r *http.Request, as, mode string) {
	g.t.Helper()
	if as == "nobody" {
		return
	}
	c, ok := g.callers[as]
	if !ok {
		g.t.Fatalf("there is no caller %q", as)
	}
	at, region, service := time.Now().UTC(), c.Region, g.service
	switch mode {
	case "", "scope":
	case "old":
		at = at.Add(-time.Hour)
	case "region":
		region = "eu-central-1"
	case "service":
		service = "s3"
	case "secret":
		c = wrongSecret(c)
	case "key":
		c.AccessKeyID = "AKIAAAAAAAAAAAAAAAAA"
	default:
		g.t.Fatalf("there is no way to sign called %q", mode)
	}
	r.Header.Set("Amz-Sdk-Invocation-Id", rand.Text()) // as SDKs do: two requests alike within a second are not one sent twice
	if err := signV4(r, c, at, region, service); err != nil {
		g.t.Fatal(err)
	}
	if mode == "scope" {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x")
	}
}

// signV4 signs a request to "/" without a query.
func signV4(r *http.Request, c client.Credentials, at time.Time, region, service string) error {
	body, err := r.GetBody()
	if err != nil {
		return err
	}
	payload, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	date := at.Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", date)
	if !c.SessionToken.IsZero() {
		r.Header.Set("X-Amz-Security-Token", string(c.SessionToken.Expose()))
	}
	headers := map[string]string{"host": r.URL.Host}
	for name, v := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(v, ",")
	}
	names := slices.Sorted(maps.Keys(headers))
	canonical := "POST\n/\n\n"
	for _, name := range names {
		canonical += name + ":" + headers[name] + "\n"
	}
	signed := strings.Join(names, ";")
	sum := sha256.Sum256(payload)
	canonical += "\n" + signed + "\n" + hex.EncodeToString(sum[:])
	scope := date[:8] + "/" + region + "/" + service + "/aws4_request"
	sum = sha256.Sum256([]byte(canonical))
	key := append([]byte("AWS4"), c.SecretAccessKey.Expose()...)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:])) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.AccessKeyID+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
	return nil
}
