/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of system headers, which cppcheck does not read. */
#define cJSON_ArrayForEach(element, array)                                                         \
	for (element = (array) ? (array)->child : 0; element; element = element->next)
