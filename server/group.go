package server

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func groupOf(g iam.Group) *iamv1.Group {
	return iamv1.Group_builder{Path: g.Path, GroupName: g.Name, GroupId: g.ID, Arn: g.ARN, CreateDate: timestamppb.New(g.Created)}.Build()
}

func checkCreateGroup(v *violations, r *iamv1.CreateGroupRequest) {
	v.givenGroupName(r.GetGroupName())
	v.text("path", r.GetPath(), 0, maxPath)
}

func createGroup(c *call, r *iamv1.CreateGroupRequest) (*iamv1.CreateGroupResponse, error) {
	out := iamv1.CreateGroupResponse_builder{}
	arn := c.people.NewGroupARN(c.account(), pathOr(r.GetPath()), r.GetGroupName())
	err := c.changeBy(func() (authz.Grant, error) { return c.onNew(authz.IAMCreateGroup, "GROUP", arn) }, func(people *iam.IAM, g authz.Grant) error {
		made, err := people.CreateGroup(g, c.account(), r.GetGroupName(), r.GetPath())
		out.Group = groupOf(made)
		return err
	})
	return out.Build(), err
}

func checkGetGroup(v *violations, r *iamv1.GetGroupRequest) {
	v.givenGroupName(r.GetGroupName())
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

func getGroup(c *call, r *iamv1.GetGroupRequest) (*iamv1.GetGroupResponse, error) {
	g, err := c.onGroup(authz.IAMGetGroup, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	group, ok := c.people.Group(c.account(), r.GetGroupName())
	if !ok {
		return nil, fmt.Errorf("%w: there is no group of this name", iam.ErrNoSuchEntity)
	}
	after, err := c.position(group.ID, r.GetMarker())
	if err != nil {
		return nil, err
	}
	users, more, err := c.people.GroupUsers(g, c.account(), r.GetGroupName(), after, pageSize(r.GetMaxItems(), usualItems))
	if err != nil {
		return nil, err
	}
	out := iamv1.GetGroupResponse_builder{Group: groupOf(group), IsTruncated: more}
	for _, u := range users {
		out.Users = append(out.Users, userOf(u))
	}
	if more {
		out.Marker = c.marker(group.ID, users[len(users)-1].Name)
	}
	return out.Build(), nil
}

func checkListGroups(v *violations, r *iamv1.ListGroupsRequest) {
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

func listGroups(c *call, r *iamv1.ListGroupsRequest) (*iamv1.ListGroupsResponse, error) {
	if _, err := c.allow(authz.IAMListGroups, nothing); err != nil {
		return nil, err
	}
	after, err := c.position(r.GetPathPrefix(), r.GetMarker())
	if err != nil {
		return nil, err
	}
	list, more := pageThrough(after, pageSize(r.GetMaxItems(), usualItems),
		func(after string) ([]iam.Group, bool) { return c.people.Groups(c.account(), after, largestItems) },
		func(g iam.Group) string { return g.Name }, func(g iam.Group) bool { return strings.HasPrefix(g.Path, r.GetPathPrefix()) })
	out := iamv1.ListGroupsResponse_builder{IsTruncated: more}
	for _, g := range list {
		out.Groups = append(out.Groups, groupOf(g))
	}
	if more {
		out.Marker = c.marker(r.GetPathPrefix(), list[len(list)-1].Name)
	}
	return out.Build(), nil
}

func checkUpdateGroup(v *violations, r *iamv1.UpdateGroupRequest) {
	v.givenGroupName(r.GetGroupName())
	v.text("new_group_name", r.GetNewGroupName(), 0, maxGroupName)
	v.text("new_path", r.GetNewPath(), 0, maxPath)
}

// updateGroup needs the permission on the group as it is and as it will be.
func updateGroup(c *call, r *iamv1.UpdateGroupRequest) (*iamv1.UpdateGroupResponse, error) {
	to, err := c.onNew(authz.IAMUpdateGroup, "GROUP", c.people.RenamedGroupARN(c.account(), r.GetGroupName(), r.GetNewGroupName(), r.GetNewPath()))
	if err != nil {
		return nil, err
	}
	return &iamv1.UpdateGroupResponse{}, c.changeGroup(authz.IAMUpdateGroup, r.GetGroupName(), func(people *iam.IAM, from authz.Grant) error {
		_, err := people.UpdateGroup(from, to, c.account(), r.GetGroupName(), r.GetNewGroupName(), r.GetNewPath())
		return err
	})
}

func checkDeleteGroup(v *violations, r *iamv1.DeleteGroupRequest) { v.givenGroupName(r.GetGroupName()) }

func deleteGroup(c *call, r *iamv1.DeleteGroupRequest) (*iamv1.DeleteGroupResponse, error) {
	return &iamv1.DeleteGroupResponse{}, c.changeGroup(authz.IAMDeleteGroup, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteGroup(g, c.account(), r.GetGroupName())
	})
}

func checkAddUserToGroup(v *violations, r *iamv1.AddUserToGroupRequest) {
	v.givenGroupName(r.GetGroupName())
	v.givenUserName(r.GetUserName())
}

func addUserToGroup(c *call, r *iamv1.AddUserToGroupRequest) (*iamv1.AddUserToGroupResponse, error) {
	c.param(audit.String("userName", r.GetUserName()))
	return &iamv1.AddUserToGroupResponse{}, c.changeGroup(authz.IAMAddUserToGroup, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.AddUserToGroup(g, c.account(), r.GetGroupName(), r.GetUserName())
	})
}

func checkRemoveUserFromGroup(v *violations, r *iamv1.RemoveUserFromGroupRequest) {
	v.givenGroupName(r.GetGroupName())
	v.givenUserName(r.GetUserName())
}

func removeUserFromGroup(c *call, r *iamv1.RemoveUserFromGroupRequest) (*iamv1.RemoveUserFromGroupResponse, error) {
	c.param(audit.String("userName", r.GetUserName()))
	return &iamv1.RemoveUserFromGroupResponse{}, c.changeGroup(authz.IAMRemoveUserFromGroup, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.RemoveUserFromGroup(g, c.account(), r.GetGroupName(), r.GetUserName())
	})
}

func checkListGroupsForUser(v *violations, r *iamv1.ListGroupsForUserRequest) {
	v.givenUserName(r.GetUserName())
}

func listGroupsForUser(c *call, r *iamv1.ListGroupsForUserRequest) (*iamv1.ListGroupsForUserResponse, error) {
	g, err := c.onUser(authz.IAMListGroupsForUser, r.GetUserName())
	if err != nil {
		return nil, err
	}
	groups, err := c.people.ListGroupsForUser(g, c.account(), r.GetUserName())
	if err != nil {
		return nil, err
	}
	out := iamv1.ListGroupsForUserResponse_builder{}
	for _, g := range groups {
		out.Groups = append(out.Groups, groupOf(g))
	}
	return out.Build(), nil
}
