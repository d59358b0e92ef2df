/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of org.bmsgateway.Updater1 that are about backups (docs/PROTOCOL.md). userdata is where a
 * const struct conf * lies. They hold the state while they change something, so an attempt that is under way
 * is Busy for them.
 */
#ifndef UPDATERD_BACKUP_BUS_H
#define UPDATERD_BACKUP_BUS_H

#include <systemd/sd-bus.h>

int backup_bus_backups(sd_bus_message *m, void *userdata, sd_bus_error *error);
int backup_bus_backup(sd_bus_message *m, void *userdata, sd_bus_error *error);
int backup_bus_held(sd_bus_message *m, void *userdata, sd_bus_error *error);
int backup_bus_put_back(sd_bus_message *m, void *userdata, sd_bus_error *error);

#endif
