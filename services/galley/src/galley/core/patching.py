"""A patch of any of the three languages applied to an object of the API."""

import copy
from collections.abc import Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from galley.core.kube_api import status
from galley.core.kube_api.bodies import PatchType
from galley.core.patch.json_patch import apply_json_patch
from galley.core.patch.merge import apply_merge_patch
from galley.core.patch.strategic import apply_strategic_patch


def apply_patch(
    patch_type: PatchType, current: Mapping[str, Any], patch: Any, merge_keys: Mapping[str, str]
) -> dict[str, Any]:
    """The patched object. 400 for a body that is no such patch, 413 for one of too many operations, 422 for one that
    cannot be applied."""
    try:
        if patch_type is PatchType.JSON:
            if not isinstance(patch, list):
                raise status.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
            result = apply_json_patch(current, patch)
        elif not isinstance(patch, Mapping):
            raise status.bad_request("the patch is not an object")
        elif patch_type is PatchType.STRATEGIC:
            result = apply_strategic_patch(copy.deepcopy(current), patch, merge_keys)
        else:
            result = apply_merge_patch(copy.deepcopy(current), patch)
    except status.StatusError:
        raise
    except MeshError as error:
        if error.code is ErrorCode.TOO_LARGE:
            raise status.from_error(error) from error
        message = f"the server rejected our request due to an error in our request: {error}"
        raise status.StatusError(ErrorCode.INVALID, 422, "Invalid", message) from error
    if not isinstance(result, dict):
        raise status.bad_request("the patched body is not an object")
    return result
