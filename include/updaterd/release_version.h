/* SPDX-License-Identifier: Apache-2.0 */
/* The release that this build of updaterd is (RELEASE_A of the Makefile). */
#ifndef UPDATERD_RELEASE_VERSION_H
#define UPDATERD_RELEASE_VERSION_H

extern const char updaterd_release_version[];

#endif
