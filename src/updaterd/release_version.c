/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/release_version.h"

const char updaterd_release_version[] = RELEASE_VERSION;
