package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func checkTagUser(v *violations, r *iamv1.TagUserRequest) {
	v.givenUserName(r.GetUserName())
	v.tags(r.GetTags())
	if len(r.GetTags()) == 0 {
		v.add("tags", "is missing")
	}
}

func tagUser(c *call, r *iamv1.TagUserRequest) (*iamv1.TagUserResponse, error) {
	tags := c.iamTags(r.GetTags())
	return &iamv1.TagUserResponse{}, c.changeUser(authz.IAMTagUser, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.TagUser(g, c.account(), r.GetUserName(), tags)
	})
}

func checkUntagUser(v *violations, r *iamv1.UntagUserRequest) {
	v.givenUserName(r.GetUserName())
	v.tagKeys(r.GetTagKeys())
}

func untagUser(c *call, r *iamv1.UntagUserRequest) (*iamv1.UntagUserResponse, error) {
	c.facts.SetList(authz.CtxTagKeys, r.GetTagKeys())
	c.param(audit.Strings("tagKeys", r.GetTagKeys()))
	return &iamv1.UntagUserResponse{}, c.changeUser(authz.IAMUntagUser, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.UntagUser(g, c.account(), r.GetUserName(), r.GetTagKeys())
	})
}

func checkListUserTags(v *violations, r *iamv1.ListUserTagsRequest) { v.givenUserName(r.GetUserName()) }

func listUserTags(c *call, r *iamv1.ListUserTagsRequest) (*iamv1.ListUserTagsResponse, error) {
	g, err := c.onUser(authz.IAMListUserTags, r.GetUserName())
	if err != nil {
		return nil, err
	}
	tags, err := c.people.ListUserTags(g, c.account(), r.GetUserName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListUserTagsResponse_builder{Tags: tagsOf(tags)}.Build(), nil
}

func checkPutUserPermissionsBoundary(v *violations, r *iamv1.PutUserPermissionsBoundaryRequest) {
	v.givenUserName(r.GetUserName())
	v.policyARN("permissions_boundary", r.GetPermissionsBoundary())
}

func putUserPermissionsBoundary(c *call, r *iamv1.PutUserPermissionsBoundaryRequest) (*iamv1.PutUserPermissionsBoundaryResponse, error) {
	c.aboutBoundary(r.GetPermissionsBoundary())
	c.param(audit.String("permissionsBoundary", r.GetPermissionsBoundary()))
	return &iamv1.PutUserPermissionsBoundaryResponse{}, c.changeUser(authz.IAMPutUserPermissionsBoundary, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.PutUserPermissionsBoundary(g, c.account(), r.GetUserName(), r.GetPermissionsBoundary())
	})
}

func checkDeleteUserPermissionsBoundary(v *violations, r *iamv1.DeleteUserPermissionsBoundaryRequest) {
	v.givenUserName(r.GetUserName())
}

func deleteUserPermissionsBoundary(c *call, r *iamv1.DeleteUserPermissionsBoundaryRequest) (*iamv1.DeleteUserPermissionsBoundaryResponse, error) {
	c.aboutBoundaryOfUser(r.GetUserName())
	return &iamv1.DeleteUserPermissionsBoundaryResponse{}, c.changeUser(authz.IAMDeleteUserPermissionsBoundary, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteUserPermissionsBoundary(g, c.account(), r.GetUserName())
	})
}

// aboutBoundaryOfUser tells conditions which boundary the user has that a request is about.
func (c *call) aboutBoundaryOfUser(name string) {
	if e, ok := c.people.User(c.account(), name); ok {
		c.aboutBoundary(e.PermissionsBoundary)
	}
}

func checkTagRole(v *violations, r *iamv1.TagRoleRequest) {
	v.givenRoleName(r.GetRoleName())
	v.tags(r.GetTags())
	if len(r.GetTags()) == 0 {
		v.add("tags", "is missing")
	}
}

func tagRole(c *call, r *iamv1.TagRoleRequest) (*iamv1.TagRoleResponse, error) {
	tags := c.iamTags(r.GetTags())
	return &iamv1.TagRoleResponse{}, c.changeRole(authz.IAMTagRole, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.TagRole(g, c.account(), r.GetRoleName(), tags)
	})
}

func checkUntagRole(v *violations, r *iamv1.UntagRoleRequest) {
	v.givenRoleName(r.GetRoleName())
	v.tagKeys(r.GetTagKeys())
}

func untagRole(c *call, r *iamv1.UntagRoleRequest) (*iamv1.UntagRoleResponse, error) {
	c.facts.SetList(authz.CtxTagKeys, r.GetTagKeys())
	c.param(audit.Strings("tagKeys", r.GetTagKeys()))
	return &iamv1.UntagRoleResponse{}, c.changeRole(authz.IAMUntagRole, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.UntagRole(g, c.account(), r.GetRoleName(), r.GetTagKeys())
	})
}

func checkListRoleTags(v *violations, r *iamv1.ListRoleTagsRequest) { v.givenRoleName(r.GetRoleName()) }

func listRoleTags(c *call, r *iamv1.ListRoleTagsRequest) (*iamv1.ListRoleTagsResponse, error) {
	g, err := c.onRole(authz.IAMListRoleTags, r.GetRoleName())
	if err != nil {
		return nil, err
	}
	tags, err := c.people.ListRoleTags(g, c.account(), r.GetRoleName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListRoleTagsResponse_builder{Tags: tagsOf(tags)}.Build(), nil
}

func checkPutRolePermissionsBoundary(v *violations, r *iamv1.PutRolePermissionsBoundaryRequest) {
	v.givenRoleName(r.GetRoleName())
	v.policyARN("permissions_boundary", r.GetPermissionsBoundary())
}

func putRolePermissionsBoundary(c *call, r *iamv1.PutRolePermissionsBoundaryRequest) (*iamv1.PutRolePermissionsBoundaryResponse, error) {
	c.aboutBoundary(r.GetPermissionsBoundary())
	c.param(audit.String("permissionsBoundary", r.GetPermissionsBoundary()))
	return &iamv1.PutRolePermissionsBoundaryResponse{}, c.changeRole(authz.IAMPutRolePermissionsBoundary, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.PutRolePermissionsBoundary(g, c.account(), r.GetRoleName(), r.GetPermissionsBoundary())
	})
}

func checkDeleteRolePermissionsBoundary(v *violations, r *iamv1.DeleteRolePermissionsBoundaryRequest) {
	v.givenRoleName(r.GetRoleName())
}

func deleteRolePermissionsBoundary(c *call, r *iamv1.DeleteRolePermissionsBoundaryRequest) (*iamv1.DeleteRolePermissionsBoundaryResponse, error) {
	c.aboutBoundaryOfRole(r.GetRoleName())
	return &iamv1.DeleteRolePermissionsBoundaryResponse{}, c.changeRole(authz.IAMDeleteRolePermissionsBoundary, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteRolePermissionsBoundary(g, c.account(), r.GetRoleName())
	})
}

// aboutBoundaryOfRole tells conditions which boundary the role has that a request is about.
func (c *call) aboutBoundaryOfRole(name string) {
	if e, ok := c.people.Role(c.account(), name); ok {
		c.aboutBoundary(e.PermissionsBoundary)
	}
}

// iamTags reads the tags of a request and tells conditions about them.
func (c *call) iamTags(tags []*iamv1.Tag) (list []iam.Tag) {
	byKey := map[string]string{}
	for _, t := range tags {
		list = append(list, iam.Tag{Key: t.GetKey(), Value: t.GetValue()})
		byKey[t.GetKey()] = t.GetValue()
	}
	if len(tags) > 0 {
		c.requestTags(byKey)
	}
	return list
}
