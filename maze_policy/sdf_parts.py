"""Parts that every Gazebo model is made of, as SDF: systems by their flavour, masses, surfaces, looks."""

from __future__ import annotations

from dataclasses import dataclass

# The board has a sheen, so that its brightness shows the tilt: the edge of the view gets brighter by 2.7 per rad, as in
# the pictures that the policies were trained on; the rougher, the less. The gains were measured in Gazebo's camera.
ROUGHNESS = 0.48
SHEEN_GAIN, MATTE_GAIN = 4.4, 0.9


@dataclass(frozen=True)
class Flavour:
    """What a generation of Gazebo calls its parts."""

    prefix: str  # of the files of its systems
    namespace: str  # of the classes of its systems
    messages: str  # package of its messages
    tool: str  # its command line
    simulate: str  # what makes the command line simulate

    def system(self, name: str, **settings: object) -> str:
        """The plugin of a system such as `PosePublisher`."""
        file = ''.join(f'-{letter.lower()}' if letter.isupper() else letter for letter in name)
        inside = ''.join(f'<{key}>{value}</{key}>' for key, value in settings.items())
        return f'<plugin filename="{self.prefix}{file}-system" name="{self.namespace}{name}">{inside}</plugin>'


FLAVOURS = {
    'fortress': Flavour('ignition-gazebo', 'ignition::gazebo::systems::', 'ignition.msgs', 'ign', 'gazebo'),
    'harmonic': Flavour('gz-sim', 'gz::sim::systems::', 'gz.msgs', 'gz', 'sim'),
}


def surface(friction: float, restitution: float) -> str:
    """Gazebo takes the smaller friction and the product of the restitutions of two things that meet."""
    return (
        f'<surface><friction><ode><mu>{friction:.6g}</mu><mu2>{friction:.6g}</mu2></ode></friction>'
        f'<bounce><restitution_coefficient>{restitution:.6g}</restitution_coefficient></bounce></surface>'
    )


def inertial(mass_kg: float, flat: float, up: float) -> str:
    """About the middle, kg m^2: `flat` about x and y, `up` about z."""
    return (
        f'<inertial><mass>{mass_kg}</mass><inertia><ixx>{flat:.6g}</ixx><iyy>{flat:.6g}</iyy><izz>{up:.6g}</izz>'
        '<ixy>0</ixy><ixz>0</ixz><iyz>0</iyz></inertia></inertial>'
    )


def matte(color: tuple[int, int, int]) -> str:
    """As bright as this where the lamp shines straight at it."""
    return _material(color, MATTE_GAIN, '0 0 0')


def sheen(color: tuple[int, int, int]) -> str:
    """Of semi-gloss metal, straight below the lamp as bright as this; every tilt takes it away from there."""
    gloss = f'<pbr><metal><roughness>{ROUGHNESS}</roughness><metalness>1</metalness></metal></pbr>'
    return _material(color, SHEEN_GAIN, '1 1 1', gloss)


def _material(color: tuple[int, int, int], gain: float, specular: str, more: str = '') -> str:
    """What the camera then sees as this rgb8 color; Gazebo counts light, not the levels of an image."""
    shares = [(level / 255 + 0.055) / 1.055 for level in color]
    rgb = ' '.join(f'{share**2.4 / gain:.4f}' for share in shares)
    return (
        f'<material><ambient>{rgb} 1</ambient><diffuse>{rgb} 1</diffuse><specular>{specular} 1</specular>{more}'
        '</material>'
    )
