package server

import (
	"fmt"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// tagsPage is how many tags one page has, and the most that it may have: AWS KMS's 50, which is also all that a key can have.
const tagsPage = 50

// requestTags tells conditions about the tags of a request, and notes their keys in the event.
func (c *call) requestTags(tags map[string]string) {
	c.facts.RequestTags.Set(tags)
	c.param(audit.Strings("tagKeys", sortedKeys(tags)))
}

func keyTags(tags []*kmsv1.Tag) (list []keystore.Tag, byKey map[string]string) {
	byKey = map[string]string{}
	for _, t := range tags {
		list = append(list, keystore.Tag{Key: t.GetTagKey(), Value: t.GetTagValue()})
		byKey[t.GetTagKey()] = t.GetTagValue()
	}
	return list, byKey
}

func (v *violations) tagCount(field string, n int) {
	if n > tagsPage {
		v.add(field, "has %d entries, must have at most %d", n, tagsPage)
	}
}

// keyTags bounds what goes into the event: keystore checks tags more closely.
func (v *violations) keyTags(tags []*kmsv1.Tag) {
	v.tagCount("tags", len(tags))
	for i, t := range tags {
		v.text(fmt.Sprintf("tags[%d].tag_key", i), t.GetTagKey(), 0, 4*maxPolicyName)
		v.text(fmt.Sprintf("tags[%d].tag_value", i), t.GetTagValue(), 0, 8*maxPolicyName)
	}
}

func checkTagResource(v *violations, r *kmsv1.TagResourceRequest) {
	v.given("key_id", r.GetKeyId())
	v.keyTags(r.GetTags())
	if len(r.GetTags()) == 0 {
		v.add("tags", "is missing")
	}
}

func tagResource(c *call, r *kmsv1.TagResourceRequest) (*kmsv1.TagResourceResponse, error) {
	tags, byKey := keyTags(r.GetTags())
	c.requestTags(byKey)
	k, err := c.changeKey(authz.KMSTagResource, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.TagKey(g, k.ID, tags)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.TagResourceResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkUntagResource(v *violations, r *kmsv1.UntagResourceRequest) {
	v.given("key_id", r.GetKeyId())
	v.tagKeys(r.GetTagKeys())
}

func untagResource(c *call, r *kmsv1.UntagResourceRequest) (*kmsv1.UntagResourceResponse, error) {
	c.facts.SetList(authz.CtxTagKeys, r.GetTagKeys())
	c.param(audit.Strings("tagKeys", r.GetTagKeys()))
	k, err := c.changeKey(authz.KMSUntagResource, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.UntagKey(g, k.ID, r.GetTagKeys())
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.UntagResourceResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkListResourceTags(v *violations, r *kmsv1.ListResourceTagsRequest) {
	v.given("key_id", r.GetKeyId())
	v.limit("limit", r.GetLimit(), tagsPage)
}

func listResourceTags(c *call, r *kmsv1.ListResourceTagsRequest) (*kmsv1.ListResourceTagsResponse, error) {
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSListResourceTags, t); err != nil {
		return nil, err
	}
	after, err := c.position(t.key.ARN, r.GetMarker())
	if err != nil {
		return nil, err
	}
	out := kmsv1.ListResourceTagsResponse_builder{}
	for _, tag := range t.key.Tags() {
		switch {
		case tag.Key <= after:
		case len(out.Tags) == pageSize(r.GetLimit(), tagsPage):
			out.Truncated, out.NextMarker = true, c.marker(t.key.ARN, out.Tags[len(out.Tags)-1].GetTagKey())
			return out.Build(), nil
		default:
			out.Tags = append(out.Tags, kmsv1.Tag_builder{TagKey: tag.Key, TagValue: tag.Value}.Build())
		}
	}
	return out.Build(), nil
}
