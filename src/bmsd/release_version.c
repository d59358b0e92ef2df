/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/release_version.h"

const char bmsd_release_version[] = RELEASE_VERSION;
