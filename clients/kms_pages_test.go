package clients

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// pages walks through the pages of a list and wants each entry once, and more than one page.
func pages[T any](t *testing.T, wanted int, more func() bool, next func() ([]T, error), id func(T) string) {
	t.Helper()
	seen := map[string]bool{}
	n := 0
	for more() {
		entries, err := next()
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > 1000 {
			t.Fatal("the pages do not end")
		}
		for _, e := range entries {
			if seen[id(e)] {
				t.Errorf("%s is there twice", id(e))
			}
			seen[id(e)] = true
		}
	}
	if n < 2 || len(seen) < wanted {
		t.Errorf("%d entries on %d pages, want %d or more on at least 2", len(seen), n, wanted)
	}
}

// kmsPages uses each paginator of the SDK.
func kmsPages(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	grantee := s.user(t, "pages").arn
	for i := range 5 {
		must(s.kms.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String(fmt.Sprintf("alias/pages/%d", i)), TargetKeyId: key.KeyId}))(t)
		must(s.kms.CreateGrant(ctx, &kms.CreateGrantInput{
			KeyId: key.KeyId, GranteePrincipal: &grantee, RetiringPrincipal: &grantee, Operations: []types.GrantOperation{"Encrypt"},
		}))(t)
		must(s.kms.TagResource(ctx, &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: aws.String(fmt.Sprint(i)), TagValue: aws.String("x")}}}))(t)
		must(s.kms.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key.KeyId}))(t)
	}
	s.run(t, "ListKeys", func(t *testing.T) {
		p := kms.NewListKeysPaginator(s.kms, &kms.ListKeysInput{Limit: aws.Int32(10)})
		pages(t, 20, p.HasMorePages, func() ([]types.KeyListEntry, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.KeyListEntry { return o.Keys })
		},
			func(e types.KeyListEntry) string {
				wantPtr(t, "KeyArn", e.KeyArn, s.k.arn("key/"+aws.ToString(e.KeyId)))
				return *e.KeyId
			})
	})
	s.run(t, "ListAliases", func(t *testing.T) {
		p := kms.NewListAliasesPaginator(s.kms, &kms.ListAliasesInput{Limit: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.AliasListEntry, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.AliasListEntry { return o.Aliases })
		},
			func(e types.AliasListEntry) string { return *e.AliasName })
	})
	s.run(t, "ListGrants", func(t *testing.T) {
		p := kms.NewListGrantsPaginator(s.kms, &kms.ListGrantsInput{KeyId: key.KeyId, Limit: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.GrantListEntry, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.GrantListEntry { return o.Grants })
		},
			func(e types.GrantListEntry) string { return *e.GrantId })
	})
	s.run(t, "ListRetirableGrants", func(t *testing.T) {
		p := kms.NewListRetirableGrantsPaginator(s.kms, &kms.ListRetirableGrantsInput{RetiringPrincipal: &grantee, Limit: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.GrantListEntry, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.GrantListEntry { return o.Grants })
		},
			func(e types.GrantListEntry) string { return *e.GrantId })
	})
	s.run(t, "ListResourceTags", func(t *testing.T) {
		p := kms.NewListResourceTagsPaginator(s.kms, &kms.ListResourceTagsInput{KeyId: key.KeyId, Limit: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.Tag, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.Tag { return o.Tags })
		},
			func(e types.Tag) string { return *e.TagKey })
	})
	s.run(t, "ListKeyRotations", func(t *testing.T) {
		p := kms.NewListKeyRotationsPaginator(s.kms, &kms.ListKeyRotationsInput{KeyId: key.KeyId, Limit: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.RotationsListEntry, error) {
			o, err := p.NextPage(ctx)
			return entries(o, err, func() []types.RotationsListEntry { return o.Rotations })
		},
			func(e types.RotationsListEntry) string { return *e.KeyMaterialId })
	})
}

// entries are those of a page, if there is one.
func entries[O, T any](_ *O, err error, list func() []T) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return list(), nil
}

// losing is a transport that loses the first answers: the request has been carried out, and the client is told of a failure.
type losing struct {
	base  http.RoundTripper
	lose  int32
	calls atomic.Int32
}

// RoundTrip implements http.RoundTripper.
func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.base.RoundTrip(r)
	if err != nil || l.calls.Add(1) > l.lose {
		return answer, err
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	body := `{"__type":"KMSInternalException"}`
	return &http.Response{
		StatusCode: http.StatusInternalServerError, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// kmsRetries loses answers: the SDK repeats the call by itself, and the change is made once.
func kmsRetries(t *testing.T, s *goSDK) {
	count := func(t *testing.T) int {
		n := 0
		for p := kms.NewListKeysPaginator(s.kms, &kms.ListKeysInput{}); p.HasMorePages(); {
			n += len(must(p.NextPage(t.Context()))(t).Keys)
		}
		return n
	}
	lossy := func(lose int32) (*kms.Client, *losing) {
		l := &losing{base: s.recorder, lose: lose}
		return kms.NewFromConfig(s.config, func(o *kms.Options) { o.HTTPClient = &http.Client{Transport: l} }), l
	}
	s.run(t, "two lost answers of CreateKey leave one key", func(t *testing.T) {
		before := count(t)
		c, l := lossy(2)
		made := must(c.CreateKey(t.Context(), &kms.CreateKeyInput{Description: aws.String("once")}))(t).KeyMetadata
		want(t, "calls", l.calls.Load(), 3)
		want(t, "keys made", count(t)-before, 1)
		must(s.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: made.KeyId}))(t)
	})
	s.run(t, "a lost answer of RotateKeyOnDemand leaves one rotation", func(t *testing.T) {
		key := s.createKey(t, nil)
		c, _ := lossy(1)
		must(c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key.KeyId}))(t)
		list := must(s.kms.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialRotationsOnly}))(t).Rotations
		want(t, "rotations", len(list), 1)
	})
	s.run(t, "a lost answer of CreateAlias is no AlreadyExistsException", func(t *testing.T) {
		c, _ := lossy(1)
		must(c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/clients/once"), TargetKeyId: s.createKey(t, nil).KeyId}))(t)
	})
	s.run(t, "two calls with the same parameters make two keys", func(t *testing.T) {
		before := count(t)
		s.createKey(t, nil)
		s.createKey(t, nil)
		want(t, "keys made", count(t)-before, 2)
	})
}
