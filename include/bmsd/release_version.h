/* SPDX-License-Identifier: Apache-2.0 */
/* The release that this build of bmsd is (RELEASE_B of the Makefile). */
#ifndef BMSD_RELEASE_VERSION_H
#define BMSD_RELEASE_VERSION_H

extern const char bmsd_release_version[];

#endif
